"""A run's networks are evaluated on another suite than the run's own."""

import copy
import dataclasses

from ..data.objectives import Objective
from ..data.tasks import Suite
from ..support.errors import MtlError


def as_learned(suite: Suite, run: Suite) -> Suite:
    """Give another suite's tasks the run's objectives where their targets mean the same."""
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


def check_suite(suite: object) -> None:
    """Raise an error on what is no suite, e.g. the name of one.

    Raises:
        MtlError: naming what was found.
    """
    if not isinstance(suite, Suite):
        raise MtlError(
            "suite should be a Suite, as mtl_framework.load_suite or Suite.from_arrays makes it, "
            f"found {type(suite).__name__}"
        )


def check_tasks(given: Suite, wanted: Suite) -> None:
    """Raise an error on a suite that does not fit the networks of the run's suite ``wanted``.

    Raises:
        MtlError: naming the first difference.
    """
    if given.task_names != wanted.task_names:
        raise MtlError(
            f"suite {given.name!r} has the tasks {', '.join(given.task_names)}, the run "
            f"{', '.join(wanted.task_names)}"
        )
    if given.input_shapes != wanted.input_shapes:
        shapes = zip(given.input_shapes, wanted.input_shapes, strict=True)
        here, there = next(pair for pair in shapes if pair[0] != pair[1])
        raise MtlError(f"suite {given.name!r} has inputs of shape {here}, the run of {there}")
    for mine, theirs in zip(given.tasks, wanted.tasks, strict=True):
        if mine.objective != theirs.objective:
            given_has, run_has = _told_apart(mine.objective, theirs.objective)
            raise MtlError(
                f"task {mine.name!r} of suite {given.name!r} has {given_has}, that of the run "
                f"{run_has}"
            )


def _told_apart(here: Objective, there: Objective) -> tuple[str, str]:
    """Return what two objectives differ in: their classes, or else all that they are."""
    both = [getattr(objective, "class_names", None) for objective in (here, there)]
    if type(here) is type(there) and all(both) and both[0] != both[1]:
        first, second = (f"the classes {', '.join(map(str, names or ()))}" for names in both)
        return first, second
    return f"the objective {here}", str(there)
