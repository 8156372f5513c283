"""``mtl_framework.run`` trains from a script or a notebook."""

import functools
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..backbones.module_backbone import ModuleBackbone, as_backbone
from ..data.tasks import Suite
from ..networks.result import Result
from ..plugins.checks import Kind
from ..plugins.given import PREFIX
from ..plugins.manager import Plugins
from ..strategies.strategy import Strategy
from ..support.errors import MtlError
from ..support.interrupts import Interrupted
from ..support.notebook import python_console
from ..support.processes import joined
from ..support.seeding import untouched_generators
from .config import RunConfig
from .dry_run import Preview, preview
from .request import Request
from .resolve import plain_values
from .settings import Setting, key_of

Named = str | Mapping[str, Any]


def run(
    strategy: Named | type[Strategy] | None = None,
    backbone: Named | nn.Module | ModuleBackbone | None = None,
    suite: Named | Suite | None = None,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    plugins: Plugins | None = None,
    **settings: Any,
) -> Result:
    """Train the tasks of a suite together and evaluate, as ``mtl run`` does, in this process.

    A program that ``torchrun`` starts several times trains one run in all of its processes.

    Configuration, checks, files and numbers are those of the command: ``run("lws", "resnet18",
    iterations=100, nes_learning_rate=0.3)`` is ``mtl run --strategy lws --backbone resnet18
    --iterations 100 --set nes_learning_rate=0.3``.

    A run seeds the global generators of torch, numpy and Python, from which weights and dropout are
    drawn. They have the caller's states again when it ends, however it ends.

    Args:
        strategy: a name, a mapping with name and options, or a subclass of :class:`Strategy`;
            default: ``lws``.
        backbone: a name, a mapping with name and options, or a torch module, see
            :class:`ModuleBackbone`.
        suite: a name, a mapping with name and options, or a :class:`Suite`.
        config: a config file, or its content; everything else wins over it.
        output: folder of the run; default: a new one below ``runs``.
        resume: whether to resume the run in ``output``.
        progress: whether to show messages and progress, on stderr or below a notebook's cell.
        plugins: where names are looked up; default: all installed plugins.
        settings: keys of a config (``iterations``, ``training={...}``), ``preset``, ``data_root``,
            and options of the strategy; keys with dots go by ``**{"suite.path": "data"}``.

    Returns:
        the result, which knows its folder (:attr:`Result.directory`).

    Raises:
        MtlError: on anything wrong, with the command's own message.
        KeyboardInterrupt: after an interruption; the state is saved, and the message says how to
            go on.
    """
    plugins = Plugins.load() if plugins is None else plugins
    request = make_request(strategy, backbone, suite, config, output, resume, settings, plugins)
    try:
        with untouched_generators(torch.device("cpu")), joined():
            started = request.start(plugins, python_console() if progress else None)
            result = started.execute()
    except Interrupted as stopped:
        again = f"go on with mtl_framework.run(output={str(started.directory)!r}, resume=True)"
        if stopped.signal != signal.SIGINT:
            raise
        done = f"interrupted at iteration {started.iteration} of {started.iterations}, all saved"
        raise KeyboardInterrupt(f"{done}; {again}") from None
    return result.located(started.directory)


def dry_run(
    strategy: Named | type[Strategy] | None = None,
    backbone: Named | nn.Module | ModuleBackbone | None = None,
    suite: Named | Suite | None = None,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    **settings: Any,
) -> Preview:
    """Show what :func:`run` would do; time and memory come from three steps; nothing is written.

    Args:
        strategy: as in :func:`run`.
        backbone: as in :func:`run`.
        suite: as in :func:`run`.
        config: as in :func:`run`.
        plugins: as in :func:`run`.
        settings: as in :func:`run`.

    Raises:
        MtlError: on anything wrong, with the command's own message.
    """
    plugins = Plugins.load() if plugins is None else plugins
    request = make_request(strategy, backbone, suite, config, None, False, settings, plugins)
    return preview(*request.resolved(plugins), plugins)


def make_request(
    strategy: Any,
    backbone: Any,
    suite: Any,
    config: str | Path | Mapping[str, Any] | None,
    output: str | Path | None,
    resume: bool,
    settings: Mapping[str, Any],
    plugins: Plugins,
) -> Request:
    """Make a request of a program's arguments; Python objects are registered as plugins."""
    flags: dict[str, Any] = {
        "strategy": named("strategy", strategy, plugins),
        "backbone": named("backbone", backbone, plugins),
        "suite": named("suite", suite, plugins),
    }
    rest = dict(settings)
    if (data_root := rest.pop("data_root", None)) is not None:
        given = flags["suite"] or {}
        given = {"name": given} if isinstance(given, str) else given
        flags["suite"] = {**given, "data_root": str(data_root)}
    keys = []
    for key, value in rest.items():
        plain = plain_values(value, key)
        if key in RunConfig.model_fields or key == "preset":
            flags[key] = plain
        else:
            keys.append(Setting(key_of(key), plain))
    content = plain_values(config, "config") if isinstance(config, Mapping) else config
    file = Path(content) if isinstance(content, str) else content
    folder = None if output is None else Path(output)
    return Request(flags, keys, file, folder, resume)


def named(kind: Kind, value: Any, plugins: Plugins) -> Any:
    """Return what a config says for a choice: a name, a mapping, or the name given to an object.

    Raises:
        MtlError: naming the kind, the type found and the types allowed.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return plain_values(value, kind)
    if kind == "strategy" and isinstance(value, type):
        return plugins.name_of(value) or _give(plugins, kind, value.__name__, value)
    if kind == "backbone" and isinstance(value, nn.Module | ModuleBackbone):
        module = as_backbone(value)
        return _give(plugins, kind, module.title, module)
    if kind == "suite" and isinstance(value, Suite):
        return _give(plugins, kind, value.name, functools.partial(_same, value))
    raise MtlError(f"{kind} should be {_ALLOWED[kind]}, found {type(value).__name__}")


def _give(plugins: Plugins, kind: Kind, name: str, value: Any) -> str:
    plugins.give(kind, f"{PREFIX}{name}", value)
    return f"{PREFIX}{name}"


def _same(suite: Suite) -> Suite:
    return suite


_ALLOWED = {
    "strategy": "a name, a mapping with a name, or a subclass of Strategy",
    "backbone": "a name, a mapping with a name, a torch module or a ModuleBackbone",
    "suite": "a name, a mapping with a name, or a Suite",
}
