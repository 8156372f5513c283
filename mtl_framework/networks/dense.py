"""Heads give maps, and one task's network with such a head stands on its own."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..backbones.backbone import Backbone, PlainBackbone, Recipe
from ..backbones.maps import FeatureMap, feature_maps, forward_maps, pyramid
from ..data.head_choice import HeadChoice
from ..data.objectives import Objective
from ..data.objectives.maps.base import Size, resized
from ..data.tasks import Task
from ..support.errors import MtlError, message_of
from .decoders.choices import DEFAULT
from .features import Features

_Map = TypeVar("_Map")


class MapHead(nn.Module):
    """A map head returns maps of the inputs' height and width: a decoder, and what enlarges them.

    Args:
        decoder: a module that turns maps, the finest first, into outputs of any resolution.
        size: height and width of the outputs, where nothing else is asked for.
        auxiliary: a decoder of all maps but the deepest, for training only; or ``None``.
        loss_weight: factor of the auxiliary decoder's loss.
    """

    def __init__(
        self,
        decoder: nn.Module,
        size: tuple[int, int],
        auxiliary: nn.Module | None = None,
        loss_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.decoder, self.size = decoder, size
        self.auxiliary, self.loss_weight = auxiliary, loss_weight

    def forward(
        self, maps: Sequence[Float[Tensor, "_ _ _ _"]], size: Size | None = None
    ) -> Float[Tensor, "_ outputs height width"]:
        """Compute outputs of height and width ``size``."""
        return resized(self.decoder(list(maps)), size or self.size)

    def auxiliary_outputs(
        self, maps: Sequence[Float[Tensor, "_ _ _ _"]]
    ) -> Float[Tensor, "_ outputs height width"]:
        """Compute the outputs of the auxiliary decoder, where there is one."""
        assert self.auxiliary is not None
        return resized(self.auxiliary(shallower(maps)), self.size)

    def deployed(self) -> "MapHead":
        """Return a copy without the auxiliary decoder, on the CPU."""
        return MapHead(copy.deepcopy(self.decoder).cpu(), self.size)


def shallower(maps: Sequence[_Map]) -> list[_Map]:
    """Return all maps but the deepest, or the only one: what an auxiliary head reads."""
    return list(maps[:-1] or maps)


def with_auxiliary(
    losses: Float[Tensor, " rows"],
    head: nn.Module,
    features: Features,
    targets: Shaped[Tensor, "rows *dims"],
    objective: Objective,
    run: Callable[..., Tensor],
) -> Float[Tensor, " rows"]:
    """Add the loss of a head's auxiliary decoder to its losses, in training, where it has one.

    Args:
        losses: losses of the head's own outputs.
        head: head of the task.
        features: what the head reads.
        targets: targets of the rows.
        objective: objective of the task.
        run: calls a function of features in the networks' precision.
    """
    if not isinstance(head, MapHead) or head.auxiliary is None or not head.training:
        return losses
    outputs = run(head.auxiliary_outputs, features)
    return losses + head.loss_weight * objective.losses(outputs, targets)


def deployed_parameters(head: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a head that its task's final network needs."""
    return list((head.decoder if isinstance(head, MapHead) else head).parameters())


class DenseNetwork(nn.Module):
    """A dense network is a plain model and a decoder: its outputs are maps.

    Args:
        model: the backbone's model, or what has its ``forward_intermediates``.
        head: the head that gives the maps.
        maps: the maps of the backbone that the head reads.

    Attributes:
        mixed: how many columns the model holds, and the kept one, where it holds several. A map
            from where they are not yet mixed for the last time has the rows of all columns.
    """

    def __init__(self, model: nn.Module, head: MapHead, maps: Sequence[FeatureMap]) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.maps = tuple(maps)
        self.mixed: tuple[int, int] | None = None

    def forward(
        self, inputs: Float[Tensor, "rows _ height width"]
    ) -> Float[Tensor, "rows outputs height width"]:
        """Compute maps of the inputs' own size."""
        if self.mixed is None:  # any height and width, which the model itself makes images of
            asked = [replace(each, tokens=False) for each in self.maps]
            _, maps = forward_maps(self.model, inputs, asked, False)
        else:
            columns, kept = self.mixed
            _, maps = forward_maps(self.model, inputs, self.maps, False)
            maps = [
                torch.unflatten(x, 0, (columns, -1))[kept] if len(x) != len(inputs) else x
                for x in maps
            ]
        outputs: Tensor = self.head(maps, (inputs.shape[2], inputs.shape[3]))
        return outputs


def blank_network(
    backbone: PlainBackbone, head: MapHead, maps: Sequence[FeatureMap]
) -> DenseNetwork:
    """Make a plain model without a class layer and a head, on the CPU, both freshly drawn."""
    names = backbone.class_layers if isinstance(backbone, Backbone) else ()
    return DenseNetwork(plain_without_class_layers(backbone.recipe, 2, names), head, maps)


def plain_without_class_layers(recipe: Recipe, classes: int, names: Sequence[str]) -> nn.Module:
    """Make a fresh plain model with the identity in the places of its class layers.

    Args:
        recipe: the recipe of the model.
        classes: number of classes with which it is made.
        names: names of the class layers.
    """
    with torch.random.fork_rng(devices=[]):
        model = recipe.create(classes, pretrained=False)
    for name in names:
        model.set_submodule(name, nn.Identity())
    return model


def maps_of_tasks(backbone: Backbone, tasks: Sequence[Task]) -> list[tuple[FeatureMap, ...]]:
    """Return the maps that each task's head reads; none for tasks whose outputs are no maps.

    Raises:
        MtlError: if a task needs maps and the backbone gives none.
    """
    first = next((task for task in tasks if task.objective.is_map), None)
    if first is None:
        return [()] * len(tasks)
    chosen = pyramid(feature_maps(backbone, first.name))
    return [chosen if task.objective.is_map else () for task in tasks]


def map_head(task: Task, maps: Sequence[FeatureMap], size: tuple[int, int]) -> MapHead:
    """Make a task's head for maps, freshly drawn.

    Raises:
        MtlError: if a plugin's decoder cannot be built, or keeps batch statistics.
    """
    choice, outputs = task.head or DEFAULT, task.objective.num_outputs
    decoder, extra = _decoder(choice, maps, outputs), choice.auxiliary
    if extra is None:
        return MapHead(decoder, size)
    auxiliary = _decoder(extra.choice, shallower(maps), outputs)
    return MapHead(decoder, size, auxiliary, extra.loss_weight)


def _decoder(choice: HeadChoice, maps: Sequence[FeatureMap], outputs: int) -> nn.Module:
    """Make a decoder, freshly drawn and checked."""
    decoder = choice.make([each.channels for each in maps], outputs)
    if not isinstance(decoder, nn.Module):
        raise MtlError(f"head {choice.name!r} should make a torch module, found {decoder!r:.80}")
    _check(decoder, choice.name, maps, outputs)
    return decoder


def head_bytes(head: nn.Module, maps: Sequence[FeatureMap]) -> int:
    """Return the bytes that autograd keeps of a head for one row, with its maps and outputs.

    They are 0 where the head reads no maps: a linear layer's are few.
    """
    if not isinstance(head, MapHead):
        return 0
    like = next(head.parameters())
    rows = [torch.zeros(1, each.channels, *each.size).to(like) for each in maps]
    made: list[Tensor] = []
    sizes, seen = [x.nbytes for x in rows], {p.data_ptr() for p in head.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            sizes.append(tensor.nbytes)
        return tensor

    kept = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), kept:
        rows = [x.requires_grad_() for x in rows]
        made.append(head(rows))
        if head.auxiliary is not None:
            made.append(head.auxiliary_outputs(rows))
    return sum(sizes) + sum(x.nbytes for x in made)


def _check(decoder: nn.Module, name: str, maps: Sequence[FeatureMap], outputs: int) -> None:
    for part in decoder.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise MtlError(
                f"head {name!r} has a {type(part).__name__}, which would normalise the rows of "
                "several paths together; use group or layer norm"
            )
    blank = [torch.zeros(1, each.channels, *each.size) for each in maps]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            made = decoder(blank)
    except Exception as error:  # whatever a plugin's decoder raises
        sizes = ", ".join(f"{x.shape[1]}x{x.shape[2]}x{x.shape[3]}" for x in blank)
        reason = message_of(error)[:200]
        raise MtlError(f"head {name!r} cannot read maps of {sizes}: {reason}") from error
    if not isinstance(made, Tensor) or made.ndim != 4 or made.shape[:2] != (1, outputs):
        shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise MtlError(
            f"head {name!r} gives {shape} for one input, should be (1, {outputs}, height, width)"
        )
