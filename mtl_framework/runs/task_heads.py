"""A run's config chooses heads for single tasks or for all."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from ..data.head_choice import HeadChoice
from ..data.tasks import Suite
from ..plugins.manager import Plugins
from ..support.arguments import check_arguments
from ..support.errors import MtlError, UnknownNameError
from ..support.validation import KeyPath
from .config import RunConfig
from .task_choices import ALL

LINEAR = "linear"


def with_heads(suite: Suite, config: RunConfig, plugins: Plugins) -> Suite:
    """Apply a config's section ``heads`` to a suite.

    What stands at ``all`` holds for the tasks whose outputs are maps; others have a linear layer.

    Raises:
        MtlError: naming the key with an unknown task, head or option.
    """
    section = config.heads
    for name in section:
        if name != ALL and name not in suite.task_names:
            raise UnknownNameError("task in heads", name, [*suite.task_names, ALL])
    if not section:
        return suite
    if ALL in section and not any(task.objective.is_map for task in suite.tasks):
        raise MtlError("heads.all fits no task of this suite, as none has maps: leave it out")
    tasks = []
    for task in suite.tasks:
        place = task.name if task.name in section else ALL
        if task.objective.is_map and place in section:
            task = dataclasses.replace(
                task, head=_choice(section[place], ("heads", place), plugins)
            )
        elif task.name in section and section[task.name].get("name") != LINEAR:
            raise MtlError(
                f"heads.{task.name} is {section[task.name].get('name')!r}, which gives maps; task "
                f"{task.name!r} has none: leave it out"
            )
        tasks.append(task)
    changed = copy.copy(suite)
    changed.tasks = tuple(tasks)
    return changed


def _choice(given: Mapping[str, Any], key: KeyPath, plugins: Plugins) -> HeadChoice:
    name = given.get("name")
    if not isinstance(name, str):
        raise MtlError(f"{'.'.join(key)} should have a name, found {dict(given)}")
    factory = plugins.head(name)
    options = {option: value for option, value in given.items() if option != "name"}
    checked = check_arguments(factory, options, key)
    return HeadChoice(name, factory, checked)
