"""A network with a head for maps is described by its backbone, its decoder and its outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from ..backbones.backbone import Backbone, Recipe
from ..backbones.maps import FeatureMap
from ..data.objectives import MapObjective
from ..networks.decoders.choices import DEFAULT
from ..networks.decoding import Decoded
from ..networks.dense import DenseNetwork, MapHead, plain_without_class_layers
from ..plugins.manager import Plugins
from ..runs.known_data import objective_from_plain, objective_to_plain
from ..runs.load import LoadedRun
from ..support.arguments import check_arguments
from ..support.errors import MtlError, message_of
from .about import damaged

CLASSES = 2  # of the model whose class layers are taken away


class MapAbout(BaseModel):
    """A map is read by the head; ``index`` is its place in timm's ``forward_intermediates``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int = Field(ge=0, le=10_000)
    channels: int = Field(ge=1, le=10**6)
    stride: int = Field(ge=1, le=10**6)


class HeadAbout(BaseModel):
    """A head is the decoder behind a backbone whose ``class_layers`` are taken away.

    ``name`` and ``options`` say which decoder reads ``maps``, the finest first; its outputs are
    resized to ``size``, that of the images. ``objective`` says what the outputs mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, Any]
    maps: tuple[MapAbout, ...]
    class_layers: tuple[str, ...]
    size: tuple[int, int]
    objective: dict[str, Any]


def head_about(run: LoadedRun, task: int) -> HeadAbout | None:
    """Describe the head of a run's task; ``None`` where its outputs are no maps.

    Raises:
        MtlError: if the network is more than a backbone and a head, or has options that JSON cannot
            hold.
    """
    found = run.suite.tasks[task]
    if not isinstance(found.objective, MapObjective):
        return None
    network, choice = dense_network(run, task), found.head or DEFAULT
    backbone = run.backbones[task]
    return HeadAbout(
        name=choice.name,
        options=dict(choice.options),
        maps=tuple(
            MapAbout(index=each.index, channels=each.channels, stride=each.stride)
            for each in network.maps
        ),
        class_layers=backbone.class_layers if isinstance(backbone, Backbone) else (),
        size=network.head.size,
        objective=objective_to_plain(found.objective),
    )


def dense_network(run: LoadedRun, task: int) -> DenseNetwork:
    """Return one task's backbone and head; outputs are as the head returns them.

    Raises:
        MtlError: if the network is more than a backbone and a head.
    """
    network = run.network.extract(task)
    if type(network) is not DenseNetwork or network.mixed is not None:
        raise MtlError(
            f"a network of strategy {run.config.strategy.name!r} is more than a "
            f"{run.backbones[task].name} with a head, so its weights cannot be loaded into one; "
            "export it as torch-export or onnx"
        )
    return network


def blank_dense(
    recipe: Recipe, head: HeadAbout, outputs: int, file: Path, plugins: Plugins | None
) -> DenseNetwork:
    """Build a network as a file describes it, with fresh weights.

    Args:
        recipe: recipe of the backbone.
        head: description of the head.
        outputs: number of channels of the outputs.
        file: the name that errors give.
        plugins: plugins in which the head is looked up; default: all installed ones.

    Raises:
        MtlError: if the head is not installed, or does not fit its options or maps.
    """
    factory = (Plugins.load() if plugins is None else plugins).head(head.name)
    maps = [FeatureMap(m.index, 0, m.channels, (1, 1), m.stride) for m in head.maps]
    try:
        options = check_arguments(factory, head.options, ("head", "options"))
        with torch.random.fork_rng(devices=[]):
            decoder = factory([m.channels for m in maps], outputs, **options)
        model = plain_without_class_layers(recipe, CLASSES, head.class_layers)
    except Exception as error:  # whatever a plugin's decoder raises
        reason = message_of(error)[:200]
        raise damaged(file, f"its head cannot be built: {reason}") from error
    return DenseNetwork(model, MapHead(decoder, head.size), maps)


def with_outputs(network: nn.Module, head: HeadAbout, file: Path) -> nn.Module:
    """Give a network outputs in the units of the targets, see :class:`Decoded`.

    Raises:
        MtlError: if the file describes no objective.
    """
    plain: Mapping[str, Any] = head.objective
    try:
        objective = objective_from_plain(plain)
    except (KeyError, TypeError, ValueError, AttributeError, MtlError) as error:
        raise damaged(file, f"it has no objective: {error}") from error
    return Decoded(network, objective).eval() if objective.decodes else network
