"""The examples of a run's own splits, wherever a suite puts them now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from ..data.streaming import LazyInputs
from ..data.tasks import Examples, Suite, Task
from .known_examples import example_names, task_groups

Place = tuple[str, int]


def with_recorded_splits(
    suite: Suite, recorded: Sequence[Mapping[str, Any]], splits: Sequence[str]
) -> Suite:
    """A suite whose validation and test splits have the examples that a run's had, in their order.

    Splits that are the same already stay as they are, and so do those of which an example is gone.

    Args:
        suite: as its data are now; what is done to an image must be the same for every split.
        recorded: what :func:`describe_examples` gave when the run began.
        splits: which to put together again; not the one that is trained on.
    """
    tasks: dict[str, Task] = {task.name: task for task in suite.tasks}
    for known, group in zip(recorded, task_groups(suite), strict=False):
        if known["tasks"] != [task.name for task in group]:
            return suite
        here = {split: example_names(x) for split, x in group[0].splits().items()}
        places: dict[str, Place] = {}
        for split, names in here.items():
            places |= {name: (split, row) for row, name in enumerate(names)}
        for split in splits:
            wanted = known["splits"].get(split, {}).get("names")
            if not wanted or wanted == here.get(split) or not set(wanted) <= set(places):
                continue
            rows = [places[name] for name in wanted]
            inputs = _gather([(group[0].splits()[s].inputs, row) for s, row in rows])
            for task in group:
                examples = _examples(task, split, rows, inputs, wanted)
                held = tasks[task.name]
                tasks[task.name] = (
                    replace(held, test=examples)
                    if split == "test"
                    else replace(held, validation=examples)
                )
    return Suite(suite.name, list(tasks.values()), suite.common_input, suite.notes, suite.record)


def _examples(
    task: Task,
    split: str,
    rows: Sequence[Place],
    inputs: Tensor | LazyInputs,
    names: Sequence[str],
) -> Examples:
    now = task.splits()
    targets = torch.stack([now[s].targets[row] for s, row in rows])
    labelled = None
    if any(examples.labelled is not None for examples in now.values()):
        masks = {
            s: torch.ones(len(x), dtype=torch.bool) if x.labelled is None else x.labelled
            for s, x in now.items()
        }
        labelled = torch.stack([masks[s][row] for s, row in rows])
        labelled = None if bool(labelled.all()) else labelled
    kept = now.get(split, task.test)
    return Examples(inputs, targets, labelled, kept.streams, kept.transform, names)


def _gather(items: Sequence[tuple[Tensor | LazyInputs, int]]) -> Tensor | LazyInputs:
    if all(isinstance(inputs, Tensor) for inputs, _ in items):
        return torch.stack([inputs[row] for inputs, row in items])  # type: ignore[index]
    return LazyInputs(items, decode=_Pick())


@dataclass(frozen=True)
class _Pick:
    """Reads one of several sources; a class, so that worker processes can be given it."""

    def __call__(self, item: tuple[Tensor | LazyInputs, int]) -> Shaped[Tensor, "*dims"]:
        """One image of a source."""
        inputs, row = item
        return inputs.read(row) if isinstance(inputs, LazyInputs) else inputs[row]
