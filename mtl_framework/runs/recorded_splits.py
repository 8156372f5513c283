"""A run's recorded splits are restored, wherever a suite puts their examples later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from ..data.objectives import Objective, Regression
from ..data.streaming import LazyInputs
from ..data.tasks import Examples, Suite, Task
from .config import RunConfig
from .known_data import StandIn
from .known_examples import example_names, in_eights, label_digests, task_groups

Place = tuple[str, int]


def transformed_alike(config: RunConfig) -> RunConfig:
    """Return a run's config whose suite treats all images as in evaluation, also those of training.

    A suite may put an example of a recorded split elsewhere now, where data have been added.
    """
    transforms = config.suite.options.get("transforms")
    if not isinstance(transforms, Mapping) or not set(transforms) <= {"train", "evaluation"}:
        return config
    alike = {"train": transforms.get("evaluation"), "evaluation": transforms.get("evaluation")}
    options = {key: value or [] for key, value in alike.items()}
    suite = config.suite.model_copy(update={"transforms": options})
    return config.model_copy(update={"suite": suite})


def with_recorded_tasks(suite: Suite, known: Mapping[str, Any]) -> Suite:
    """Restore a run's tasks, in its order, with the scale in which numbers were learned.

    A suite that has other tasks now, or lacks one, stays as it is.

    Args:
        suite: the suite with its present data.
        known: what :func:`mtl_framework.runs.known_data.describe` returned when the run began.
    """
    if known["tasks"] is None:  # which only their suite can make
        return suite
    now = {task.name: task for task in suite.tasks}
    saved = StandIn.of(known).suite.tasks
    if not {task.name for task in saved} <= set(now):
        return suite
    tasks = [
        replace(now[task.name], objective=_scaled_as(task.objective, now[task.name].objective))
        for task in saved
    ]
    return Suite(suite.name, tasks, suite.common_input, suite.notes, suite.record)


def _scaled_as(saved: Objective, now: Objective) -> Objective:
    alike = isinstance(saved, Regression) and isinstance(now, Regression)
    return saved if alike and saved.num_outputs == now.num_outputs else now


def with_recorded_splits(
    suite: Suite, recorded: Sequence[Mapping[str, Any]], splits: Sequence[str]
) -> Suite:
    """Restore the examples of a run's validation and test splits, in their order.

    Splits that are the same already stay as they are; of others, examples that are gone are left
    out.

    Args:
        suite: the suite as its data are now; all splits must have the same transforms of images.
        recorded: what :func:`describe_examples` gave when the run began.
        splits: names of the splits to restore; never the training split.
    """
    tasks: dict[str, Task] = {task.name: task for task in suite.tasks}
    for known, group in zip(recorded, task_groups(suite), strict=False):
        if known["tasks"] != [task.name for task in group]:
            return suite
        here = {split: example_names(x) for split, x in group[0].splits().items()}
        labels = {split: label_digests([task.splits()[split] for task in group]) for split in here}
        for split in splits:
            wanted = known["splits"].get(split, {})
            if not wanted or wanted["names"] == here.get(split):
                continue
            places = _Places(here, labels, split)
            taken = [
                (name, place)
                for name, digest in zip(wanted["names"], in_eights(wanted["labels"]), strict=True)
                if (place := places.take(name, digest)) is not None
            ]
            if not taken:
                continue
            present, rows = [name for name, _ in taken], [place for _, place in taken]
            inputs = _gather([(group[0].splits()[s].inputs, row) for s, row in rows])
            for task in group:
                examples = _examples(task, split, rows, inputs, present)
                held = tasks[task.name]
                tasks[task.name] = (
                    replace(held, test=examples)
                    if split == "test"
                    else replace(held, validation=examples)
                )
    return Suite(suite.name, list(tasks.values()), suite.common_input, suite.notes, suite.record)


class _Places:
    """This class finds where examples of a name are now; each example is found once only.

    Args:
        names: names of all examples, by split; several may have one name.
        labels: digests of the examples' labels, by split.
        first: the split that is looked at first.
    """

    def __init__(
        self, names: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[str]], first: str
    ) -> None:
        self._by_name: dict[str, list[tuple[str, Place]]] = {}
        for split in sorted(names, key=lambda split: split != first):
            for row, (name, label) in enumerate(zip(names[split], labels[split], strict=True)):
                self._by_name.setdefault(name, []).append((label, (split, row)))

    def take(self, name: str, label: str) -> Place | None:
        """Take an example of this name, one with these labels if there is one; ``None``: none."""
        left = self._by_name.get(name)
        if not left:
            return None
        alike = [n for n, (other, _) in enumerate(left) if other == label]
        return left.pop(alike[0] if alike else 0)[1]


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
    given = {s: examples.contents for s, examples in now.items()}
    contents = [content[row] for s, row in rows if (content := given[s]) is not None]
    return Examples(
        inputs,
        targets,
        labelled,
        kept.streams,
        kept.transform,
        names,
        contents if len(contents) == len(rows) else None,
    )


def _gather(items: Sequence[tuple[Tensor | LazyInputs, int]]) -> Tensor | LazyInputs:
    if all(isinstance(inputs, Tensor) for inputs, _ in items):
        return torch.stack([inputs[row] for inputs, row in items])  # type: ignore[index]
    return LazyInputs(items, decode=_Pick())


@dataclass(frozen=True)
class _Pick:
    """A pick reads one of several sources; a class, so that worker processes can be given it."""

    def __call__(self, item: tuple[Tensor | LazyInputs, int]) -> Shaped[Tensor, "*dims"]:
        """Return one image of a source."""
        inputs, row = item
        return inputs.read(row) if isinstance(inputs, LazyInputs) else inputs[row]
