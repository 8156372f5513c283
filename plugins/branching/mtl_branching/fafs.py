"""Fully-adaptive feature sharing starts from a shared network, which splits from the heads down.

Lu, Kumar, Zhai, Cheng, Javidi and Feris, "Fully-Adaptive Feature Sharing in Multi-Task Networks
with Applications in Person Attribute Classification", CVPR 2017, arXiv 1611.05377.
"""

import math
from collections.abc import Generator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from mtl_framework import (
    Backbone,
    InitialWeights,
    RowLossNetworks,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
    copy_weight,
)
from mtl_framework.data import Suite

from .difficulty import Difficulty, best_split, branch_affinity
from .measured import CandidateNetworks, adam_or_sgd, check_several

_LEAST_COST = 1 / 64  # cost of a branch where no map is pooled between its unit and the heads


class FafsConfig(InitialWeights):
    """These are the options of :class:`Fafs`."""

    alpha: float = Field(
        1.0,
        ge=0,
        description="how much it counts that tasks of one branch find different examples hard, "
        "against the cost of one more branch; 0 never splits, a large value parts all tasks; the "
        "paper's scripts have values from 0 to 4",
    )
    stall: int | None = Field(
        None,
        ge=1,
        description="number of iterations from the start, or from one attempt to split a unit, to "
        "the next attempt; default: the run's iterations divided by twice the number of units; "
        "the published code has 1000",
    )
    settle: float = Field(
        0.25, ge=0, lt=1, description="share of the run, at its end, in which no unit splits"
    )
    columns: int | None = Field(
        None,
        ge=1,
        description="highest number of branches that a unit may split into; default: as many as "
        "there are tasks",
    )
    memory: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="factor by which the weight of a batch shrinks with every further batch, when "
        "it is measured which tasks find the same examples hard",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of all weights; sgd has a momentum of 0.9 (published code)"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of weights and heads")
    weight_decay: float = Field(0.0, ge=0, description="weight decay of all weights")


class GrowingNetworks(RowLossNetworks, CandidateNetworks):
    """These networks keep every row's loss of the last step."""


class Fafs(Strategy):
    """Tasks share everything at first; then units split, from the heads down.

    At a split every branch gets a copy of the unit, so that no output changes. Branches are
    clusters of tasks for which the same examples are hard. The preset ``paper`` has the published
    code's values.
    """

    Config: ClassVar[type[StrategyConfig]] = FafsConfig
    config: FafsConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "fafs",
                "alpha": 1.0,
                "stall": 1000,
                "optimizer": "sgd",
                "learning_rate": 1e-3,
                "weight_decay": 5e-4,
            },
            "batch_size": 32,
        }
    }

    needs_common_input: ClassVar[bool] = True

    network: GrowingNetworks
    active: int
    stalled: int
    history: list[list[int]]

    def build(self, backbone: Backbone, suite: Suite) -> GrowingNetworks:
        """Make networks whose units have a weight for every possible branch; all use the first.

        Raises:
            MtlError: if there is one task only.
        """
        check_several(suite, "fafs")
        config = self.config
        columns = min(config.columns or len(suite), len(suite))
        self.network = network = GrowingNetworks(backbone, suite.tasks, columns)
        network.initialize(config.initialization_of(backbone))
        self.optimizer = adam_or_sgd(
            self, network, config.optimizer, config.learning_rate, config.weight_decay
        )
        self.difficulty = Difficulty(len(suite), config.memory)
        self.register_state("active", len(backbone.units) - 1)
        self.register_state("stalled", 0)
        self.register_state("history", [])
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train the weights; every ``stall`` steps try to split the next unit."""
        network = self.network
        while True:
            batch = run.next_batch()
            network.train()
            self.optimizer.zero_grad()
            losses = network.accumulate_gradients(batch, network.assignment.cpu()[None])
            self.optimizer.step()
            self.difficulty.add(network.last_rows(batch))
            self.stalled += 1
            if self._may_split(run) and self.split():
                self.history = [*self.history, [run.iteration + 1, self.active + 1]]
                run.hint(self._told())
            columns = (network.assignment.amax(1) + 1).double().mean()
            yield Step(losses, {"branches": columns})

    def _may_split(self, run: TrainingRun) -> bool:
        stall = self.config.stall
        if stall is None:
            stall = max(1, run.iterations // (2 * len(self.network.weights_per_unit)))
        settled = run.iteration + 1 > (1 - self.config.settle) * run.iterations
        return self.active >= 0 and not settled and self.stalled >= stall

    def split(self) -> bool:
        """Try to split the active unit, and say whether that happened.

        If it has split, the unit before it becomes active.
        """
        network, unit = self.network, self.active
        self.stalled = 0
        branches = self._branches_above(unit)
        groups = best_split(
            branch_affinity(self.difficulty.affinity(), branches),
            split_cost(network, unit),
            self.config.alpha,
            network.weights_per_unit[unit],
            self.seed,
        )
        if len(groups) == 1:
            return False
        for number, group in enumerate(groups):
            if number:
                copy_weight(network, self.optimizer, unit, 0, number)
            for branch in group:
                network.assignment[unit, branches[branch]] = number
        self.optimizer.restart_average()
        self.active -= 1
        return True

    def _branches_above(self, unit: int) -> list[list[int]]:
        """Return the tasks of every branch of the unit behind this one; heads are behind the last.

        With row [0, 0, 1] of the assignment in the unit behind, the branches are [[0, 1], [2]].
        """
        tasks = range(len(self.network.tasks))
        if unit + 1 == len(self.network.assignment):
            return [[task] for task in tasks]
        above = self.network.assignment[unit + 1].tolist()
        return [[task for task in tasks if above[task] == number] for number in sorted(set(above))]

    def _told(self) -> str:
        unit = self.active + 1
        names = [task.name for task in self.network.tasks]
        row = self.network.assignment[unit].tolist()
        groups = [
            ", ".join(name for name, own in zip(names, row, strict=True) if own == number)
            for number in range(max(row) + 1)
        ]
        return f"unit {self.network.backbone.units[unit].name} splits: {' | '.join(groups)}"

    def length_options(self) -> list[str]:
        """Name the options by which the length of the run decides when units may split."""
        options = ["strategy.settle"] if self.config.settle else []
        return options + (["strategy.stall"] if self.config.stall is None else [])


def split_cost(network: TaskNetworks, unit: int) -> float:
    """Return the cost of one more branch of a unit, 1/64 or more.

    The cost is 1/64 times the square root of p / q, where the map that the unit returns has p
    positions and that of the last unit has q. Each halving of height and width behind the unit
    doubles it: a map of 16 x 16 before a last one of 4 x 4 costs 4/64. Where a unit does not return
    one map, the cost is 1/64.
    """
    positions = []
    for one in (network.backbone.units[unit], network.backbone.units[-1]):
        shape = one.output_shape or (1,)
        others = [n for dim, n in enumerate(shape) if dim != one.channel_dim % len(shape)]
        positions.append(math.prod(others))
    return _LEAST_COST * max(1.0, math.sqrt(positions[0] / positions[1]))
