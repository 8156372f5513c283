"""Of tasks whose networks compute the same features, evaluation runs one."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ..backbones.maps import FeatureMap
from ..routing.banks import WeightBank
from ..routing.norms import RoutedBatchNorm


class AlikeTasks:
    """This finds the tasks that have one path and, along it, the same running averages.

    The result is kept for as long as assignment and averages stay as they are.
    """

    def __init__(self) -> None:
        self._seen: object = None
        self._groups: list[list[int]] = []

    def groups(self, model: nn.Module, assignment: Int64[Tensor, "units tasks"]) -> list[list[int]]:
        """Group positions of tasks that compute the same; every task is in one group, ascending.

        Args:
            model: the model, with banks in the places of its units.
            assignment: (units, tasks), the weights in use.
        """
        paths = [tuple(path) for path in assignment.T.tolist()]
        averages = [average for norm in _norms(model) for average in _averages(norm)]
        seen = paths, [(average.data_ptr(), average._version) for average in averages]
        if self._seen != seen:
            self._groups = _grouped(model, paths)
            self._seen = seen
        return self._groups


def by_maps(tasks: Sequence[int], maps: Sequence[tuple[FeatureMap, ...]]) -> list[list[int]]:
    """Divide tasks by what their heads read: features, or maps."""
    parts = [[t for t in tasks if not maps[t]], [t for t in tasks if maps[t]]]
    return [part for part in parts if part]


def _grouped(model: nn.Module, paths: list[tuple[int, ...]]) -> list[list[int]]:
    by_path: dict[tuple[int, ...], list[tuple[Tensor, list[int]]]] = {}
    for task, path in enumerate(paths):
        averages = [average for norm in _norms(model, path) for average in _averages(norm)]
        own = torch.cat([average[task] for average in averages]) if averages else torch.empty(0)
        groups = by_path.setdefault(path, [])
        for values, tasks in groups:
            if torch.equal(values, own):
                tasks.append(task)
                break
        else:
            groups.append((own, [task]))
    return [tasks for groups in by_path.values() for _, tasks in groups]


def _norms(module: nn.Module, path: tuple[int, ...] | None = None) -> Iterator[RoutedBatchNorm]:
    """Return batch norms with averages of the tasks' own; with ``path`` only those along it."""
    if isinstance(module, RoutedBatchNorm) and module.slots > 1:
        yield module
    if isinstance(module, WeightBank) and path is not None:
        yield from _norms(module.copies[path[module.unit]], path)
        return
    for child in module.children():
        yield from _norms(child, path)


def _averages(norm: RoutedBatchNorm) -> list[Tensor]:
    both = norm.running_mean, norm.running_var
    return [average for average in both if average is not None]
