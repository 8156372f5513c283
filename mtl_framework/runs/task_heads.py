"""A run's config chooses heads for single tasks or for all."""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..data.head_choice import HeadChoice
from ..data.tasks import Suite, Task
from ..plugins.manager import Plugins
from ..support.arguments import check_arguments
from ..support.errors import MtlError, UnknownNameError
from ..support.validation import KeyPath
from .config import RunConfig
from .task_choices import ALL

LINEAR = "linear"


def with_heads(suite: Suite, config: RunConfig, plugins: Plugins) -> Suite:
    """Give every task of a suite whose outputs are maps the head that a config chooses.

    It is that of the section ``heads``, else the suite's own, else ``default_head``. What stands at
    ``all`` holds for the tasks with maps; others have a linear layer.

    Raises:
        MtlError: naming the key with an unknown task, head or option.
    """
    section = config.heads
    for name in section:
        if name != ALL and name not in suite.task_names:
            raise UnknownNameError("task in heads", name, [*suite.task_names, ALL])
    some_maps = any(task.objective.is_map for task in suite.tasks)
    if ALL in section and not some_maps:
        raise MtlError("heads.all fits no task of this suite, as none has maps: leave it out")
    if not section and not some_maps:
        return suite
    tasks = []
    for task in suite.tasks:
        place = task.name if task.name in section else ALL
        if task.objective.is_map and place in section:
            task = _with_head(task, section[place], ("heads", place), plugins)
        elif task.objective.is_map and task.head is None:
            task = _with_head(task, config.default_head, ("default_head",), plugins)
        elif task.name in section and section[task.name].get("name") != LINEAR:
            raise MtlError(
                f"heads.{task.name} is {section[task.name].get('name')!r}, which gives maps; task "
                f"{task.name!r} has none: leave it out"
            )
        elif task.head is not None:
            _check_own(task.name, task.head, plugins)
        tasks.append(task)
    changed = copy.copy(suite)
    changed.tasks = tuple(tasks)
    return changed


def with_recorded_heads(
    suite: Suite, heads: Sequence[Mapping[str, Any] | None], plugins: Plugins
) -> Suite:
    """Give tasks the heads that a run's folder records, by name and options.

    Raises:
        MtlError: if a head is not installed, or has no such option.
    """
    changed = copy.copy(suite)
    changed.tasks = tuple(
        task if head is None else _with_head(task, head, ("tasks.json", task.name, "head"), plugins)
        for task, head in zip(suite.tasks, heads, strict=True)
    )
    return changed


def all_installed(heads: Iterable[Mapping[str, Any] | None], plugins: Plugins) -> bool:
    """Whether all these heads are installed ones; a suite can make others of its own."""
    return {head["name"] for head in heads if head is not None} <= set(plugins.names("head"))


def _with_head(task: Task, given: Mapping[str, Any], key: KeyPath, plugins: Plugins) -> Task:
    name = given.get("name")
    if not isinstance(name, str):
        raise MtlError(f"{'.'.join(key)} should have a name, found {dict(given)}")
    factory = plugins.head(name)
    options = {option: value for option, value in given.items() if option != "name"}
    checked = check_arguments(factory, options, key)
    return dataclasses.replace(task, head=HeadChoice(name, factory, checked))


def _check_own(task: str, head: HeadChoice, plugins: Plugins) -> None:
    """A suite's own head may not have the name of another one, by which it would be loaded."""
    if head.name in plugins.names("head") and plugins.head(head.name) is not head.factory:
        raise MtlError(
            f"the suite gives task {task!r} a head of its own called {head.name!r}, which is the "
            "name of an installed head: call it otherwise"
        )
