"""In some networks units are mixtures of layers that may run at several depths."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..data.batches import Batch
from ..data.tasks import Task
from ..routing.banks import WeightBank, plain_attribute
from ..routing.mixture_bank import MixtureBank
from ..support.errors import MtlError
from .dense import DenseNetwork
from .model import MultiTaskModel, ParameterCounts, Sharing
from .parts import NetworkParts
from .running import ModelRunner
from .task_networks import Assignments, TaskNetworks


class MixtureNetworks(TaskNetworks):
    """Task networks in which units of equal weights are exchanged, and mixed, by every task.

    The units of a *pool* have weights of equal names and shapes. Each of them is a layer that may
    run in the place of every other one: behind the k-th place of the pool a task goes on with
    sum_j s_j W_j(x), where W_j is the k-th place with the weights of the j-th unit, and the shares
    s are the task's own at that place. What is no weight stays with the place: strides, rates of
    dropout, and running averages, of which every layer has some at every place. Of a unit in
    several places the one with most weights is meant; all tasks share the others, such as the norm
    behind the last block of a ViT.

    Units in ``mixed`` are in no pool: a task goes on with a mixture of the unit's own K weights.

    In assignments the number of such a unit says which mixture a task uses: its own.

    Args:
        backbone: the backbone, which says what is shared and where.
        tasks: the tasks, as :class:`TaskNetworks` takes them.
        weights_per_unit: K of the units that are in no pool.
        pools: units whose layers are exchanged, ascending; no unit is in two pools.
        shares: for each pool a module whose ``forward(depth)`` gives the shares (tasks, layers) of
            the layers at that place of the pool. Parameters whose first axis is as long as there
            are tasks are taken to have a row a task (:meth:`parts_of_tasks`).
        batched: whether the layers of a place run in one call, under ``torch.vmap``; else one after
            the other, which layers need that have operations that cannot be batched.
        dropout: share of the values of every layer's results that are left out in training.
        mixed: by unit, a module whose ``forward()`` gives the shares (tasks, weights) of the unit's
            own weights, in all of its places.
        checkpoint: see :class:`TaskNetworks`; layers then run one after the other.
        group_major: see :class:`TaskNetworks`.

    Attributes:
        shares: the modules that give shares, one for each pool.
        mixed: the modules that give shares of a unit's own weights, by the unit's number.

    Raises:
        MtlError: if the units of a pool have weights of other shapes than each other, or return
            more than one tensor.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        weights_per_unit: int | Sequence[int],
        *,
        pools: Sequence[Sequence[int]],
        shares: Sequence[nn.Module],
        batched: bool = True,
        dropout: float = 0.0,
        mixed: Mapping[int, nn.Module] | None = None,
        checkpoint: bool = False,
        group_major: bool | None = None,
    ) -> None:
        units, pooled = len(backbone.units), {unit for pool in pools for unit in pool}
        each = weights_per_unit
        numbers = [each] * units if isinstance(each, int) else list(each)
        numbers = [1 if unit in pooled else number for unit, number in enumerate(numbers)]
        super().__init__(backbone, tasks, numbers, checkpoint=checkpoint, group_major=group_major)
        self.pools = tuple(tuple(pool) for pool in pools)
        self.shares = nn.ModuleList(shares)
        banks: list[list[WeightBank]] = [[] for _ in backbone.units]
        for bank in self.banks():
            banks[bank.unit].append(bank)
        for pool, module in zip(self.pools, self.shares, strict=True):
            places = [_main_place(banks[unit]) for unit in pool]
            _check_pool(backbone, pool, places)
            for unit, place, mixture in zip(
                pool, places, _mixtures(places, pool, module, batched, dropout), strict=True
            ):
                for bank, names in zip(banks[unit], self._names(unit), strict=True):
                    for name in names:
                        new = mixture if bank is place else bank.copies[0]
                        self.model.set_submodule(name, new)
                banks[unit] = [mixture]
        self.mixed = nn.ModuleDict({str(unit): own for unit, own in (mixed or {}).items()})
        for unit, own in (mixed or {}).items():
            banks[unit] = self._own_mixtures(banks[unit], own, batched, dropout)
        for unit in [*pooled, *map(int, self.mixed)]:
            numbers[unit] = len(self.tasks)
            self.assignment[unit] = torch.arange(len(self.tasks))
        self.weights_per_unit = self.planner.weights_per_unit = tuple(numbers)
        self._parts = NetworkParts(backbone, self.weights_per_unit, self.model, banks)
        widths = [task.objective.num_outputs for task in self.tasks]
        self._runner = ModelRunner(
            self.model, backbone, banks[0][0].forward_pass, widths, self.maps, self.mixers
        )

    def _own_mixtures(
        self, banks: Sequence[WeightBank], shares: nn.Module, batched: bool, dropout: float
    ) -> list[WeightBank]:
        """Put mixtures in the places of a unit's banks, and return them."""
        mixtures: list[WeightBank] = []
        for place, (bank, names) in enumerate(zip(banks, self._names(banks[0].unit), strict=True)):
            check_single_output(self.backbone, bank)
            mixture = MixtureBank(
                list(bank.copies),
                bank.unit,
                bank.ports,
                bank.forward_pass,
                shares=partial(shares),  # a module would be registered a second time
                key=(-1, bank.unit, place),  # no pool begins with a negative number
                batched=batched,
                dropout=dropout,
                checkpoint=bank.checkpoint,
            )
            mixtures.append(mixture)
            for name in names:
                self.model.set_submodule(name, mixture)
        return mixtures

    def _names(self, unit: int) -> list[tuple[str, ...]]:
        """Return the names of every place of a unit."""
        return [place.names for place in self.backbone.places[unit]]

    def _main_names(self, unit: int) -> tuple[str, ...]:
        """Return the names of the place of a unit that is a mixture."""
        (bank,) = self._parts.banks[unit]
        return next(n for n in self._names(unit) if self.model.get_submodule(n[0]) is bank)

    def accumulate_gradients(
        self,
        batch: Batch,
        assignments: Assignments,
        weights: Float[Tensor, "samples tasks"] | None = None,
    ) -> Float[Tensor, "samples tasks"]:
        """Add gradients as :meth:`TaskNetworks.accumulate_gradients` does.

        Raises:
            MtlError: with ``training.weighting``, which has to know who uses which weight.
        """
        if self.weighting is not None:
            raise MtlError(
                "training.weighting needs networks whose units are no mixtures: leave it out"
            )
        return super().accumulate_gradients(batch, assignments, weights)

    def predict_all(
        self, inputs: Shaped[Tensor, "rows *dims"]
    ) -> list[Float[Tensor, "rows *outputs"]]:
        """Return the outputs of every task's network for common inputs."""
        return MultiTaskModel.predict_all(self, inputs)

    def extract(self, task: int) -> nn.Module:
        """Return one task's network: every layer of a pool at each of its places, and its shares.

        It needs no other task's head, shares or weights.
        """
        path: list[int] = self.assignment[:, task].tolist()
        counts = {int(unit): len(self._parts.banks[int(unit)][0].copies) for unit in self.mixed}
        most = max([1, *map(len, self.pools), *counts.values()])
        plain = []
        for layer in range(most):
            for pool in self.pools:
                for unit in pool:
                    path[unit] = min(layer, len(pool) - 1)
            for unit, count in counts.items():
                path[unit] = min(layer, count - 1)
            plain.append(self.extract_path(task, path))
        network = plain[0]
        models = [m.model if isinstance(m, DenseNetwork) else m for m in plain]
        for pool, shares in zip(self.pools, self.shares, strict=True):
            first: list[nn.Module] = []
            for depth, unit in enumerate(pool):
                names = self._main_names(unit)
                layers = [model.get_submodule(names[0]) for model in models[: len(pool)]]
                first = first or layers
                for module, original in zip(layers, first, strict=True):
                    _tie(module, original)
                own = shares(depth)[task].detach().cpu()
                for name in names:
                    models[0].set_submodule(name, MixedLayers(layers, own))
        for unit, count in counts.items():
            own = self.mixed[str(unit)]()[task].detach().cpu()
            for names in self._names(unit):
                layers = [model.get_submodule(names[0]) for model in models[:count]]
                for name in names:
                    models[0].set_submodule(name, MixedLayers(layers, own))
        return network.eval()

    def parts_of_tasks(self) -> Mapping[nn.Parameter, int]:
        """Return what the shares are made of, where it has a row a task."""
        modules, tasks = (*self.shares, *self.mixed.values()), len(self.tasks)
        parameters = [p for module in modules for p in module.parameters()]
        return {p: tasks for p in parameters if p.ndim and len(p) == tasks}

    def parameter_counts(self) -> ParameterCounts:
        """Count all parameters, and those that the tasks need: all layers of a pool among them."""
        counts, shares = super().parameter_counts(), (*self.shares, *self.mixed.values())
        own = sum(p.numel() for module in shares for p in module.parameters())
        return ParameterCounts(counts.trained, counts.deployed + own)

    def sharing(self) -> Sharing | None:
        """Say that tasks share layers in mixtures, which no assignment tells: ``None``."""
        return None


class MixedLayers(nn.Module):
    """These are one task's layers at one place; their results are summed up by shares.

    Args:
        layers: plain modules, which read the same.
        shares: how much of each layer's result goes into the sum.
    """

    shares: Tensor

    def __init__(self, layers: Sequence[nn.Module], shares: Float[Tensor, " layers"]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.register_buffer("shares", shares)

    def __getattr__(self, name: str) -> Any:
        """Return plain attributes that a model reads from its blocks from the first layer."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            layers: Any = super().__getattr__("layers")
            return plain_attribute(layers[0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Mix what the layers return."""
        parts = [
            share * layer(*args, **kwargs)
            for share, layer in zip(self.shares, self.layers, strict=True)
        ]
        total: Tensor = torch.stack(parts).sum(0)
        return total


def _mixtures(
    places: Sequence[WeightBank],
    pool: Sequence[int],
    shares: nn.Module,
    batched: bool,
    dropout: float,
) -> list[MixtureBank]:
    """Make a bank for every place of a pool, with the weights of all units of the pool."""
    originals = [place.copies[0] for place in places]
    mixtures = []
    for depth, place in enumerate(places):
        layers = []
        for original in originals:
            # one pass for all, and what is no weight from the place
            memo: dict[int, Any] = {id(place.forward_pass): place.forward_pass}
            layer = original
            if original is not originals[depth]:
                layer = copy.deepcopy(originals[depth], memo)
                averages = dict(original.named_buffers())
                for name, buffer in layer.named_buffers():
                    buffer.copy_(averages[name])
                _tie(layer, original)
            layers.append(layer)
        mixtures.append(
            MixtureBank(
                layers,
                place.unit,
                place.ports,
                place.forward_pass,
                shares=partial(shares, depth),
                key=tuple(pool),
                batched=batched,
                dropout=dropout,
                checkpoint=place.checkpoint,
            )
        )
    return mixtures


def _tie(layer: nn.Module, original: nn.Module) -> None:
    """Let a module have the very parameters of another one of its kind."""
    if layer is original:
        return
    owners = dict(layer.named_modules())
    for name, module in original.named_modules():
        for key, parameter in module._parameters.items():
            owners[name]._parameters[key] = parameter


def _main_place(banks: Sequence[WeightBank]) -> WeightBank:
    """Return the place of a unit that has most weights, the first of them."""
    return max(banks, key=lambda bank: sum(p.numel() for p in bank.copies[0].parameters()))


def _check_pool(backbone: Backbone, pool: Sequence[int], places: Sequence[WeightBank]) -> None:
    """Refuse units that cannot take each other's places."""
    shapes = []
    for number, place in zip(pool, places, strict=True):
        name = backbone.units[number].name
        check_single_output(backbone, place)
        parameters = place.copies[0].named_parameters()
        shapes.append([(key, tuple(parameter.shape)) for key, parameter in parameters])
        if shapes[-1] != shapes[0]:
            raise MtlError(
                f"units {backbone.units[pool[0]].name!r} and {name!r} of backbone "
                f"{backbone.name!r} have other weights, so they cannot take each other's places"
            )


def check_single_output(backbone: Backbone, place: WeightBank) -> None:
    """Refuse a place that returns more than one tensor, which cannot be mixed.

    Raises:
        MtlError: naming the unit.
    """
    if len(place.ports) != 1 or place.ports[0].outputs != (1,):
        raise MtlError(
            f"unit {backbone.units[place.unit].name!r} of backbone {backbone.name!r} does not "
            "return a single tensor with one row an input, so it cannot be mixed with others"
        )
