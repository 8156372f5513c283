"""Measuring a run's networks on another suite than the run's own."""

import copy
import dataclasses

from ..data.tasks import Suite
from ..support.errors import MtlError


def as_learned(suite: Suite, run: Suite) -> Suite:
    """Another suite, learned as the run was where its targets mean the same."""
    if suite.task_names != run.task_names:
        return suite
    changed = copy.copy(suite)
    changed.tasks = tuple(
        dataclasses.replace(task, objective=own.objective)
        if task.objective.same_task(own.objective)
        else task
        for task, own in zip(suite.tasks, run.tasks, strict=True)
    )
    return changed


def check_tasks(found: Suite, wanted: Suite) -> None:
    """Refuse a suite whose tasks the networks of another one cannot be measured on.

    Raises:
        MtlError: naming the first difference.
    """
    if found.task_names != wanted.task_names:
        raise MtlError(
            f"suite {found.name!r} has the tasks {', '.join(found.task_names)}, the run "
            f"{', '.join(wanted.task_names)}"
        )
    if found.input_shapes != wanted.input_shapes:
        shapes = zip(found.input_shapes, wanted.input_shapes, strict=True)
        here, there = next(pair for pair in shapes if pair[0] != pair[1])
        raise MtlError(f"suite {found.name!r} has inputs of shape {here}, the run of {there}")
    for mine, theirs in zip(found.tasks, wanted.tasks, strict=True):
        if mine.objective != theirs.objective:
            raise MtlError(
                f"task {mine.name!r} of suite {found.name!r} is {mine.objective}, that of the run "
                f"{theirs.objective}"
            )
