"""Task grouping: which tasks to train together, by what each does for the others.

Fifty, Amid, Zhao, Yu, Anil and Finn, "Efficiently Identifying Task Groupings for Multi-Task
Learning", NeurIPS 2021, arXiv 2109.04617.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float64, Int64
from pydantic import Field
from torch import Tensor

from mtl_framework import Backbone, MtlError, StrategyConfig
from mtl_framework.data import Batch, Suite

from .affinity import affinities
from .measured import MeasuredConfig, MeasuredSharing, check_several
from .partitions import best_partition


class TaskGroupingConfig(MeasuredConfig):
    """Options of :class:`TaskGrouping`."""

    groups: int | None = Field(
        None,
        ge=1,
        description="most groups of tasks, each of which gets a network; default: half as many as "
        "tasks, rounded up",
    )
    virtual_rate: float | None = Field(
        None,
        gt=0,
        description="size of the virtual steps; default: the present learning rate",
    )


class TaskGrouping(MeasuredSharing):
    """Measures what a step for one task does to each other's loss, then trains the best groups.

    Tasks of a group share every unit, others none. The preset ``paper`` measures while half of the
    run trains full sharing with SGD.
    """

    Config: ClassVar[type[StrategyConfig]] = TaskGroupingConfig
    config: TaskGroupingConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "task_grouping",
                "measure": 0.5,
                "every": 10,
                "optimizer": "sgd",
                "virtual_rate": None,
            },
        }
    }

    total: Float64[Tensor, "tasks tasks"]
    count: Float64[Tensor, "tasks tasks"]

    def most_groups(self, backbone: Backbone, suite: Suite) -> int:
        """The most groups that the options allow."""
        check_several(suite, "task_grouping")
        groups = (len(suite) + 1) // 2 if self.config.groups is None else self.config.groups
        if groups > len(suite):
            raise MtlError(
                f"strategy.groups should be at most {len(suite)}, which is the number of tasks, "
                f"found {groups}"
            )
        return groups

    def start_measuring(self) -> None:
        """Sums of affinities, and how many each has."""
        tasks = len(self.network.tasks)
        for name in ("total", "count"):
            self.register_state(name, torch.zeros(tasks, tasks, dtype=torch.float64))

    def measure(self, batch: Batch) -> None:
        """Add the affinities on a batch."""
        change = affinities(self.network, batch, self.optimizer, self.config.virtual_rate)
        has = ~change.isnan()
        self.total = self.total + change.nan_to_num() * has
        self.count = self.count + has

    def affinity(self) -> np.ndarray:
        """Mean affinities (tasks, tasks); 0 for two tasks that were never labelled together."""
        mean: np.ndarray = (self.total / self.count.clamp(min=1)).numpy()
        return mean

    def decide(self) -> Int64[Tensor, "units tasks"]:
        """Put the tasks into the groups of the best partition, in every unit alike."""
        most = min(self.network.weights_per_unit)
        row = torch.zeros(len(self.network.tasks), dtype=torch.int64)
        for number, group in enumerate(best_partition(self.affinity(), most)):
            row[group] = number
        return row.repeat(len(self.network.weights_per_unit), 1)

    def told(self) -> str:
        """The groups, by their tasks' names."""
        row = self.network.assignment[0].tolist()
        names = [task.name for task in self.network.tasks]
        groups = [
            ", ".join(name for name, own in zip(names, row, strict=True) if own == number)
            for number in range(max(row) + 1)
        ]
        return f"groups by affinity: {' | '.join(groups)}; trained from scratch from here on"
