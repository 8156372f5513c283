"""Cross-stitch networks have a column of weights a task, mixed by learned weights.

Misra, Shrivastava, Gupta and Hebert, "Cross-stitch Networks for Multi-task Learning", CVPR 2016,
arXiv 1604.03539.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mtl_framework import (
    Backbone,
    MtlError,
    RecipeOptimizer,
    Step,
    Strategy,
    StrategyConfig,
    TrainedRun,
    TrainingRun,
    UnknownNameError,
)
from mtl_framework.data import Suite

from .config import ColumnConfig, CrossStitchConfig, Positions
from .network import ColumnNetworks
from .shared_start import OneColumn
from .start import start_columns
from .unit import CrossStitchUnit

MIXING_RATES = {"adam": 10.0, "sgd": 100.0}


class ColumnStrategy(Strategy, ABC):
    """Each task has a column of weights, which goes on with a mixture of all behind some units.

    The mixers are trained with the rest, at a learning rate of their own.
    """

    config: ColumnConfig
    network: ColumnNetworks
    shared_start: OneColumn | None = None

    @abstractmethod
    def mixers(
        self, backbone: Backbone, mixed: Sequence[int], columns: int
    ) -> dict[int, nn.Module]:
        """Return mixers of so many columns, by number of the unit behind which each mixes.

        Raises:
            MtlError: if a unit's columns cannot be mixed so.
        """

    def build(self, backbone: Backbone, suite: Suite) -> ColumnNetworks:
        """Make a column for every task, and one optimiser with two learning rates."""
        config = self.config
        self.loss_weights = _loss_weights(config.loss_weights, suite)
        mixed = mixed_units(config.after, backbone)
        self.positions = MixedUnits(tuple(backbone.units[n].name for n in mixed))
        with torch.random.fork_rng(devices=[]):  # columns start as those of other strategies do
            mixers = self.mixers(backbone, mixed, len(suite))
        self.network = ColumnNetworks(backbone, suite, mixers, config.reads == "first")
        self.network.initialize(config.initialization_of(backbone))
        self.optimizer = self._optimizer()
        if config.shared_start:
            new_moments = config.shared_start_moments == "new"
            self.shared_start = OneColumn(
                config.shared_start, self.network, self.optimizer, new_moments
            )
        return self.network

    def _optimizer(self) -> RecipeOptimizer:
        config = self.config
        mixing = list(self.network.mixers.parameters())
        rest = [p for p in self.network.parameters() if p not in set(mixing)]
        factor = config.mixing_rate
        factor = MIXING_RATES[config.optimizer] if factor is None else factor
        # decay would pull mixtures towards nothing at all, and at their own, higher rate
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": mixing, "lr_scale": factor, "weight_decay": 0.0},
        ]
        if config.optimizer == "adam":
            return self.make_optimizer(self.network, "adam", config.learning_rate, groups=groups)
        # timm's name for SGD with momentum, but without Nesterov's
        return self.make_optimizer(
            self.network, "momentum", config.learning_rate, groups=groups, momentum=config.momentum
        )

    def warm_start(self, load: Callable[[str], TrainedRun]) -> None:
        """Let the columns start from single-task networks, where ``start_from`` names some."""
        if self.config.start_from is not None:
            start_columns(self.network, self.config.start_from, load)

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train plainly: draw a batch of every task, and do a step of everything."""
        while True:
            start = self.shared_start
            is_one = start is not None and start.is_on(run)
            self.network.train()
            self.optimizer.zero_grad()
            losses = self.network.step(run.next_batch(), self.loss_weights)
            more = self.penalize()
            if start is not None and is_one:
                start.gather()
            self.optimizer.step()
            passes = {"column_passes": self.network.passes}
            yield Step(losses, {"own_weight": self.network.own_weight(), **passes, **more})

    def length_options(self) -> list[str]:
        """Name the share of the run in which columns are one network."""
        return ["strategy.shared_start"] if self.config.shared_start else []

    def penalize(self) -> dict[str, Tensor]:
        """Add the gradients of what a step costs beside the losses, and say how much that is."""
        return {}


class CrossStitch(ColumnStrategy):
    """Each task has a column of weights; behind some units it gets a mixture of all columns.

    The mixing weights are trained with the rest, at a learning rate of their own. The preset
    ``paper`` mixes behind every stage, by channel, with SGD; the paper's own networks (AlexNet,
    mixed behind its poolings and dense layers) start from single-task ones: ``start_from``.
    """

    Config: ClassVar[type[StrategyConfig]] = CrossStitchConfig
    config: CrossStitchConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "cross_stitch",
                "after": "stage",
                "mixing": "channel",
                "own_weight": 0.9,
                "optimizer": "sgd",
                "mixing_rate": 100.0,
            },
            "backbone": {"normalization": "task"},
        }
    }

    def mixers(
        self, backbone: Backbone, mixed: Sequence[int], columns: int
    ) -> dict[int, nn.Module]:
        """Make a cross-stitch unit for every mixed unit."""
        config = self.config
        by_channel = config.mixing == "channel"
        return cross_stitch_units(backbone, mixed, columns, config.own_weight, by_channel)


def cross_stitch_units(
    backbone: Backbone, mixed: Sequence[int], columns: int, own_weight: float, by_channel: bool
) -> dict[int, nn.Module]:
    """Make a :class:`CrossStitchUnit` for every mixed unit."""
    units: dict[int, nn.Module] = {}
    for number in mixed:
        shape, at = unit_shape(backbone, number)
        units[number] = CrossStitchUnit(columns, own_weight, shape[at] if by_channel else None, at)
    return units


def unit_shape(backbone: Backbone, number: int) -> tuple[tuple[int, ...], int]:
    """Return the shape of a unit's output for one example, and the position of its channels.

    Raises:
        MtlError: if that is not one tensor, so that nothing can be mixed.
    """
    unit = backbone.units[number]
    if unit.output_shape is None:
        raise MtlError(
            f"unit {unit.name!r} of backbone {backbone.name!r} does not return a single tensor "
            "with one row an input, so its columns cannot be mixed"
        )
    return unit.output_shape, unit.channel_dim


class MixedUnits:
    """This holds the names of the units behind which columns are mixed, saved for reports."""

    def __init__(self, units: tuple[str, ...]) -> None:
        self.units = units

    def state_dict(self) -> dict[str, Any]:
        """Return the names."""
        return {"units": list(self.units)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Check that the saved names are the same.

        Raises:
            MtlError: if they are others.
        """
        if list(state["units"]) != list(self.units):
            raise MtlError(
                f"columns are mixed behind {', '.join(self.units)}, not {', '.join(state['units'])}"
            )


def mixed_units(after: Positions, backbone: Backbone) -> list[int]:
    """Return the numbers of the units behind which columns are mixed.

    Raises:
        MtlError: on a pattern that no unit's name matches.
    """
    units = backbone.units
    if after == "block":
        return list(range(len(units)))
    if after == "stage":
        following = [unit.stage for unit in units[1:]]
        return [n for n, unit in enumerate(units) if [unit.stage] != following[n : n + 1]]
    names = [unit.name for unit in units]
    for pattern in after:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UnknownNameError("unit in strategy.after", pattern, names)
    return [n for n, name in enumerate(names) if any(fnmatchcase(name, p) for p in after)]


def _loss_weights(given: Mapping[str, float] | None, suite: Suite) -> torch.Tensor:
    given = given or {}
    for name, weight in given.items():
        if name not in suite.task_names:
            raise UnknownNameError("task in strategy.loss_weights", name, suite.task_names)
        if weight < 0:
            raise MtlError(f"strategy.loss_weights.{name} should be at least 0, found {weight}")
    return torch.tensor([given.get(name, 1.0) for name in suite.task_names])
