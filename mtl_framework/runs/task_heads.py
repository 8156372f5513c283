"""A run's config chooses heads for single tasks or for all."""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..data.head_choice import AuxiliaryHead, HeadChoice
from ..data.tasks import Suite, Task
from ..plugins.manager import Plugins
from ..support.arguments import check_arguments
from ..support.errors import MtlError, UnknownNameError
from ..support.validation import KeyPath
from .config import RunConfig
from .known_data import RecordedHeads
from .task_choices import ALL

LINEAR = "linear"


def with_heads(suite: Suite, config: RunConfig, plugins: Plugins) -> Suite:
    """Give every task of a suite whose outputs are maps the head that a config chooses.

    It is that of the section ``heads``, else the suite's own, else ``default_head``. What stands at
    ``all`` holds for the tasks with maps; others have a linear layer.

    Raises:
        MtlError: naming the key with an unknown task, head or option.
    """
    some_maps = any(task.objective.is_map for task in suite.tasks)
    for key in ("heads", "auxiliary_heads"):
        section = getattr(config, key)
        for name in section:
            if name != ALL and name not in suite.task_names:
                raise UnknownNameError(f"task in {key}", name, [*suite.task_names, ALL])
        if ALL in section and not some_maps:
            raise MtlError(f"{key}.all fits no task of this suite, as none has maps: leave it out")
    if not (config.heads or config.auxiliary_heads or config.shared_heads or some_maps):
        return suite
    changed = copy.copy(suite)
    changed.tasks = _sharing(
        [
            _dense(task, config, plugins) if task.objective.is_map else _plain(task, config)
            for task in suite.tasks
        ],
        config.shared_heads,
    )
    return changed


def _sharing(tasks: Sequence[Task], groups: Sequence[Sequence[str]]) -> tuple[Task, ...]:
    """Tasks of which some use the head of the first of their group."""
    by_name = {task.name: task for task in tasks}
    first_of: dict[str, Task] = {}
    for group in groups:
        for name in group:
            if name not in by_name:
                raise UnknownNameError("task in shared_heads", name, list(by_name))
            if name in first_of or group.count(name) > 1:
                raise MtlError(f"shared_heads names task {name!r} twice")
        members = [task for task in tasks if task.name in group]
        if len(members) < 2:
            raise MtlError(f"a group of shared_heads needs at least two tasks, found {list(group)}")
        for task in members:
            _check_alike(members[0], task)
            first_of[task.name] = members[0]
    return tuple(
        task
        if first_of.get(task.name, task) is task
        else dataclasses.replace(task, head_of=first_of[task.name].name)
        for task in tasks
    )


def _check_alike(one: Task, other: Task) -> None:
    kinds = [(type(task.objective), task.objective.num_outputs) for task in (one, other)]
    if kinds[0] != kinds[1] or one.head != other.head:
        said = [f"{kind.__name__.lower()} of {outputs} outputs" for kind, outputs in kinds]
        raise MtlError(
            f"tasks {one.name!r} and {other.name!r} cannot share a head: they are "
            f"{said[0]} and {said[1]}{'' if one.head == other.head else ', by different heads'}"
        )


def _plain(task: Task, config: RunConfig) -> Task:
    """Return a task without maps, whose head is linear."""
    name = config.heads.get(task.name, {"name": LINEAR}).get("name")
    if name != LINEAR:
        raise MtlError(
            f"heads.{task.name} is {name!r}, which gives maps; task {task.name!r} has none: leave "
            "it out"
        )
    if task.name in config.auxiliary_heads:
        raise MtlError(
            f"auxiliary_heads.{task.name} gives maps, and task {task.name!r} has none: leave it out"
        )
    return task


def _dense(task: Task, config: RunConfig, plugins: Plugins) -> Task:
    """Return a task with maps and its heads."""
    place = task.name if task.name in config.heads else ALL
    if place in config.heads:
        head = _choice(config.heads[place], ("heads", place), plugins)
    elif task.head is None:
        head = _choice(config.default_head, ("default_head",), plugins)
    else:
        head = task.head
        _check_own(task.name, head, plugins)
    place = task.name if task.name in config.auxiliary_heads else ALL
    if place in config.auxiliary_heads:
        given = config.auxiliary_heads[place]
        head = dataclasses.replace(
            head, auxiliary=_auxiliary(given, ("auxiliary_heads", place), plugins)
        )
    return dataclasses.replace(task, head=head)


def with_recorded_heads(suite: Suite, heads: Sequence[RecordedHeads], plugins: Plugins) -> Suite:
    """Give tasks the heads that a run's folder records, by name and options.

    Raises:
        MtlError: if a head is not installed, or has no such option.
    """
    tasks = []
    for task, (head, extra) in zip(suite.tasks, heads, strict=True):
        if head is not None:
            key = ("tasks.json", task.name)
            choice = _choice(head, (*key, "head"), plugins)
            if extra is not None:
                auxiliary = _auxiliary(extra, (*key, "auxiliary_head"), plugins)
                choice = dataclasses.replace(choice, auxiliary=auxiliary)
            task = dataclasses.replace(task, head=choice)
        tasks.append(task)
    changed = copy.copy(suite)
    changed.tasks = tuple(tasks)
    return changed


def all_installed(heads: Iterable[RecordedHeads], plugins: Plugins) -> bool:
    """Say whether all these heads are installed ones; a suite can make others of its own."""
    names = {head["name"] for both in heads for head in both if head is not None}
    return names <= set(plugins.names("head"))


def _choice(given: Mapping[str, Any], key: KeyPath, plugins: Plugins) -> HeadChoice:
    name = given.get("name")
    if not isinstance(name, str):
        raise MtlError(f"{'.'.join(key)} should have a name, found {dict(given)}")
    factory = plugins.head(name)
    options = {option: value for option, value in given.items() if option != "name"}
    return HeadChoice(name, factory, check_arguments(factory, options, key))


def _auxiliary(given: Mapping[str, Any], key: KeyPath, plugins: Plugins) -> AuxiliaryHead:
    rest = {option: value for option, value in given.items() if option != "loss_weight"}
    weight = float(given.get("loss_weight", AuxiliaryHead.loss_weight))
    return AuxiliaryHead(_choice(rest, key, plugins), weight)


def _check_own(task: str, head: HeadChoice, plugins: Plugins) -> None:
    """A suite's own head may not have the name of another one, by which it would be loaded."""
    if head.name in plugins.names("head") and plugins.head(head.name) is not head.factory:
        raise MtlError(
            f"the suite gives task {task!r} a head of its own called {head.name!r}, which is the "
            "name of an installed head: call it otherwise"
        )
