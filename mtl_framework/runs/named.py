"""Suites and backbones are made by their names, for programs of one's own."""

from typing import Any

from torch import nn

from ..backbones.backbone import Backbone
from ..backbones.config import BackboneConfig
from ..backbones.module_backbone import ModuleBackbone
from ..data.tasks import Suite
from ..plugins.manager import Plugins
from ..support.errors import MtlError
from ..support.validation import validated
from .assembly import suite_backbone
from .from_python import named


def load_suite(name: str, **options: Any) -> Suite:
    """Make a suite of an installed plugin.

    Args:
        name: name of the suite, as ``mtl list suites`` shows it, e.g. ``"alphabets"``.
        options: options of the suite, e.g. ``path="photos"`` for ``"folders"``.

    Raises:
        MtlError: if no plugin has such a suite, an option is unknown or wrong, or its data cannot
            be read.
    """
    return Plugins.load().suite(name)(**options)


def load_backbone(name: str | nn.Module | ModuleBackbone, suite: Suite, **options: Any) -> Backbone:
    """Cut a model into units, for the inputs of a suite; :class:`TaskNetworks` makes banks of them.

    Args:
        name: a timm model or a plugin's backbone, as ``mtl list backbones`` shows it; or a torch
            module, see :class:`ModuleBackbone`.
        suite: the tasks that will share it.
        options: keys of the config section ``backbone``, e.g. ``pretrained=True``,
            ``granularity="stage"``, ``args={"drop_rate": 0.1}``.

    Raises:
        MtlError: if there is no such model, an option is unknown or wrong, the model cannot take
            the suite's inputs, or the suite's tasks have backbones of their own.
    """
    if not suite.common_backbone:
        raise MtlError(f"tasks of suite {suite.name!r} have backbones of their own")
    plugins = Plugins.load()
    chosen = named("backbone", name, plugins)
    config = validated(BackboneConfig, {"name": chosen, **options}, ("backbone",))
    return suite_backbone(config, suite, plugins)
