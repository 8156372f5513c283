"""Task grouping trains those tasks together whose training steps help each other most.

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
    """These are the options of :class:`TaskGrouping`."""

    groups: int | None = Field(
        None,
        ge=1,
        description="highest number of groups of tasks, each of which gets a network of its own; "
        "default: half as many as there are tasks, rounded up",
    )
    virtual_rate: float | None = Field(
        None,
        gt=0,
        description="learning rate of the virtual steps that measure what a step for one task "
        "does to the losses of the others; default: the present learning rate",
    )


class TaskGrouping(MeasuredSharing):
    """A first phase measures what a step for one task does to all losses; the best groups follow.

    Tasks of one group share every unit, tasks of different groups share none. With the preset
    ``paper`` the first phase is half of the run and the optimiser is SGD.
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
        """Return the highest number of groups that the options allow.

        Raises:
            MtlError: if there is one task only, or more groups are asked for than there are tasks.
        """
        check_several(suite, "task_grouping")
        groups = (len(suite) + 1) // 2 if self.config.groups is None else self.config.groups
        if groups > len(suite):
            raise MtlError(
                f"strategy.groups should be at most {len(suite)}, which is the number of tasks, "
                f"found {groups}"
            )
        return groups

    def start_measuring(self) -> None:
        """Register the sums of affinities, and the numbers of measurements in each sum."""
        tasks = len(self.network.tasks)
        for name in ("total", "count"):
            self.register_state(name, torch.zeros(tasks, tasks, dtype=torch.float64))

    def measure(self, batch: Batch) -> None:
        """Measure the affinities on a batch, and add them to the sums."""
        change = affinities(self.network, batch, self.optimizer, self.config.virtual_rate)
        has = ~change.isnan()
        self.total = self.total + change.nan_to_num() * has
        self.count = self.count + has

    def affinity(self) -> np.ndarray:
        """Return mean affinities (tasks, tasks); 0 for tasks never labelled in the same batch."""
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
        """Say in one line which tasks form groups."""
        row = self.network.assignment[0].tolist()
        names = [task.name for task in self.network.tasks]
        groups = [
            ", ".join(name for name, own in zip(names, row, strict=True) if own == number)
            for number in range(max(row) + 1)
        ]
        return f"groups by affinity: {' | '.join(groups)}"
