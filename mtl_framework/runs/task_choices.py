"""A run's config chooses objectives and metrics for single tasks or for all."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..data.metrics.choice import chosen_metrics
from ..data.objectives import Objective
from ..data.tasks import Suite, Task
from ..plugins.manager import Plugins
from ..support.arguments import check_arguments, option_names, takes
from ..support.errors import MtlError, UnknownNameError, nearest
from ..support.validation import dotted
from .config import RunConfig

ALL = "all"


def with_task_choices(suite: Suite, config: RunConfig, plugins: Plugins) -> Suite:
    """Apply a config's sections ``objectives`` and ``metrics`` to a suite.

    Raises:
        MtlError: naming the key that names no task, or does not fit its task; or fits none, where
            it stands at ``all``.
    """
    if not config.objectives and not config.metrics:
        return suite
    for section in ("objectives", "metrics"):
        for name in getattr(config, section):
            if name != ALL and name not in suite.task_names:
                raise UnknownNameError(f"task in {section}", name, [*suite.task_names, ALL])
    tasks, notes = _with_objectives(suite.tasks, config.objectives, plugins)
    changed = with_metrics(suite, config, tasks)
    changed.notes = (*suite.notes, *notes)
    return changed


def with_metrics(suite: Suite, config: RunConfig, tasks: Sequence[Task] | None = None) -> Suite:
    """Apply a config's section ``metrics`` to a suite.

    Args:
        suite: the suite, which is not changed.
        config: configuration of the run.
        tasks: tasks that replace the suite's; ``None``: its own.

    Raises:
        MtlError: naming the task that has no such metric.
    """
    own = config.metrics
    everywhere = own.get(ALL)
    changed, chosen = copy.copy(suite), []
    for task in tasks or suite.tasks:
        names = [metric.name for metric in task.objective.metrics()]
        mine = own.get(task.name)
        main = mine.main if mine else None
        report = mine.report if mine else None
        if everywhere is not None:
            main = main or (everywhere.main if everywhere.main in names else None)
            if report is None and everywhere.report is not None:
                report = tuple(name for name in everywhere.report if name in names)
        task = dataclasses.replace(task, main=main, reported=report)
        try:
            chosen_metrics(task.name, task.objective, main, report)  # an unknown name shows here
        except UnknownNameError as error:
            raise MtlError(f"metrics.{dotted((task.name,))}: {error}") from None
        chosen.append(task)
    if everywhere is not None:
        known = {m.name for task in chosen for m in task.objective.metrics()}
        for name in (everywhere.main, *(everywhere.report or ())):
            if name is not None and name not in known:
                raise UnknownNameError("metric in metrics.all", name, sorted(known))
    changed.tasks = tuple(chosen)
    return changed


def _with_objectives(
    tasks: Sequence[Task], section: Mapping[str, Mapping[str, Any]], plugins: Plugins
) -> tuple[list[Task], list[str]]:
    """Return tasks with the chosen objectives, and notes on options that some cannot take."""
    everywhere = dict(section.get(ALL, {}))
    lacking: dict[str, list[str]] = {option: [] for option in everywhere if option != "name"}
    changed, taken = [], set[str]()
    for task in tasks:
        own = section.get(task.name, {})
        name = own.get("name", everywhere.get("name", task.objective.kind))
        if not own and not everywhere:
            changed.append(task)
            continue
        key = ("objectives", task.name)
        if not isinstance(name, str) or not name:
            raise MtlError(f"{dotted((*key, 'name'))} is missing: the task has a loss of its own")
        factory = plugins.objective(name)
        taken |= set(option_names(factory)) - {"task"}
        options = {}
        for option in lacking:
            if takes(factory, option):
                options[option] = everywhere[option]
            else:
                lacking[option].append(task.name)
        options |= {option: value for option, value in own.items() if option != "name"}
        if not options and name == task.objective.kind:
            changed.append(task)
            continue
        checked = check_arguments(factory, options, key)
        try:
            with plugins.guard("objective", name)("the objective's factory"):
                objective = factory(task, **checked)
        except MtlError as error:
            raise MtlError(f"{dotted(key)}: {error}") from None
        if not isinstance(objective, Objective):
            raise MtlError(f"objective {name!r} should be an Objective, found {objective!r:.80}")
        changed.append(dataclasses.replace(task, objective=objective))
    notes = []
    for option, names in lacking.items():
        if len(names) == len(tasks):
            near = nearest(option, sorted(taken))
            meant = f"; did you mean {near!r}?" if near else ""
            raise MtlError(
                f"objectives.all.{option} fits no task of this suite: leave it out{meant}"
            )
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            notes.append(f"objectives.all.{option} does not apply to {shown}")
    return changed, notes
