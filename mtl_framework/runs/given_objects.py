"""Python objects of a run are given again when it is loaded."""

import functools
from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from ..backbones.module_backbone import ModuleBackbone
from ..data.tasks import Suite
from ..plugins.checks import Kind
from ..plugins.given import is_given
from ..plugins.manager import Plugins
from ..support.errors import MtlError
from .resolve import Layer


def give_objects(saved: Layer, plugins: Plugins, **objects: Any) -> None:
    """Register Python objects under the names that the run's config has for them.

    Raises:
        MtlError: if the config has no Python object of that kind.
    """
    for kind, value in objects.items():
        if value is None:
            continue
        section = saved.values.get(kind)
        name = section.get("name") if isinstance(section, Mapping) else section
        if not isinstance(name, str) or not is_given(name):
            raise MtlError(f"{kind} of this run is {name!r}, no Python object: leave out {kind}")
        if isinstance(value, nn.Module):
            value = ModuleBackbone(value)
        factory = value if not isinstance(value, Suite) else functools.partial(_same, value)
        plugins.give(cast(Kind, kind), name, factory)


def _same(suite: Suite) -> Suite:
    return suite
