"""Tasks of one label or number a row, about the same inputs, become one task of several."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Binary, Examples, MultiLabel, Objective, Regression, Suite, Task

from .options import Together, rejoined

_UNKNOWN = -1  # the target of a label that is not known, for MultiLabel


def put_together(suite: Suite, groups: Together | None) -> Suite:
    """Return a suite in which each group of tasks is one, in the place of the group's first task.

    Binary tasks become a task of several labels, each of which may be unknown in a row. Tasks of
    numbers become a task of several numbers, which a row has only if it has all of them; a note
    says how many have a part.

    Args:
        suite: tasks, with a common input where there are groups.
        groups: for the name of every new task the names of the tasks that it is made of; ``None``
            leaves the suite as it is.

    Raises:
        MtlError: on an unknown task, one that is in two groups, a group of fewer than two, a name
            that another task has, tasks of different kinds or with classes, or tasks with inputs
            of their own.
    """
    if not groups:
        return suite
    if not suite.common_input:
        raise MtlError(
            f"suite.together needs tasks about the same inputs; those of suite {suite.name!r} have "
            "inputs of their own"
        )
    members = {new: _members(new, names, suite) for new, names in groups.items()}
    _check(members, suite)
    group_of = {task.name: new for new, parts in members.items() for task in parts}
    tasks: dict[str, Task] = {}
    notes = list(suite.notes)
    for task in suite.tasks:
        new = group_of.get(task.name)
        if new is None:
            tasks[task.name] = task
        elif new not in tasks:
            tasks[new], lines = _joined(new, members[new])
            notes += lines
    record = {**suite.record, "together": {new: list(names) for new, names in groups.items()}}
    return Suite(suite.name, list(tasks.values()), True, notes, record)


def _members(new: str, names: Sequence[str], suite: Suite) -> list[Task]:
    known = {task.name: task for task in suite.tasks}
    found = rejoined(names, known)
    for name in found:
        if name not in known:
            raise UnknownNameError(f"task in suite.together.{new}:", name, known)
    once = list(dict.fromkeys(found))
    if len(once) < 2:
        raise MtlError(f"suite.together.{new} should name two tasks or more, found {found}")
    return [known[name] for name in once]


def _check(members: Mapping[str, Sequence[Task]], suite: Suite) -> None:
    """Raise an error on tasks that cannot be joined."""
    counts = Counter(task.name for parts in members.values() for task in parts)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise MtlError(f"suite.together has {twice[0]!r} in two groups; a task goes into one")
    for new, parts in members.items():
        if new in suite.task_names and new not in counts:
            raise MtlError(f"suite.together: there is a task {new!r} already; take another name")
        kinds = {task.name: task.objective.kind for task in parts}
        for task in parts:
            if not isinstance(task.objective, Binary | Regression):
                raise MtlError(
                    f"suite.together.{new} takes tasks that are binary or numbers, and "
                    f"{task.name!r} is {kinds[task.name]}"
                )
        if len(set(kinds.values())) > 1:
            shown = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
            raise MtlError(f"suite.together.{new} needs tasks of one kind: {shown}")


def _joined(new: str, parts: Sequence[Task]) -> tuple[Task, list[str]]:
    """Return the task of several labels or numbers, and lines that tell of it."""
    names = tuple(task.name for task in parts)
    binary = isinstance(parts[0].objective, Binary)
    objective: Objective = MultiLabel(len(parts), names) if binary else _numbers(parts)
    splits, partly = {}, 0
    for split in parts[0].splits():
        each = [task.splits()[split] for task in parts]
        splits[split], some = _labels(each) if binary else _all_numbers(each)
        partly += some
        if not splits[split].num_labelled:
            raise MtlError(f"suite.together.{new}: no row of {split} has all of {', '.join(names)}")
    what = "labels" if binary else "numbers"
    lines = [f"{new}: one task of {len(parts)} {what}, {', '.join(names)}"]
    if partly:
        rows = f"{partly} row lacks" if partly == 1 else f"{partly} rows lack"
        lines.append(f"{new}: {rows} some of its numbers, and so all of them")
    task = dataclasses.replace(
        parts[0],
        name=new,
        objective=objective,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
    )
    return task, lines


def _labels(each: Sequence[Examples]) -> tuple[Examples, int]:
    """Return examples with a column of targets a task: 1, 0, or -1 where it is not known."""
    columns = [
        rows.targets if rows.labelled is None else rows.targets.where(rows.labelled, _UNKNOWN)
        for rows in each
    ]
    targets = torch.stack(columns, 1)
    return _with(each[0], targets, (targets != _UNKNOWN).any(1)), 0


def _all_numbers(each: Sequence[Examples]) -> tuple[Examples, int]:
    """Return examples with the numbers of all tasks, and how many rows have only some of them."""
    known = torch.stack([_known(rows) for rows in each], 1)
    targets = torch.cat([rows.targets.reshape(len(rows), -1) for rows in each], 1)
    complete = known.all(1)
    return _with(each[0], targets, complete), int((known.any(1) & ~complete).sum())


def _known(rows: Examples) -> Tensor:
    return torch.ones(len(rows), dtype=torch.bool) if rows.labelled is None else rows.labelled


def _with(rows: Examples, targets: Tensor, labelled: Tensor) -> Examples:
    mask = None if bool(labelled.all()) else labelled
    return dataclasses.replace(rows, targets=targets, labelled=mask)


def _numbers(parts: Sequence[Task]) -> Regression:
    """Return a regression of all numbers, each with its own mean and deviation if it has them."""
    each = [task.objective for task in parts if isinstance(task.objective, Regression)]
    alone = all(objective.num_targets == 1 for objective in each)
    scaled = any(objective.means for objective in each)
    return Regression(
        sum(objective.num_targets for objective in each),
        tuple(x for o in each for x in o.means or (0.0,) * o.num_targets) if scaled else (),
        tuple(x for o in each for x in o.deviations or (1.0,) * o.num_targets) if scaled else (),
        target_names=tuple(task.name for task in parts) if alone else (),
    )
