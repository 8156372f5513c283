"""``mtl_framework.compare`` makes a comparison from a script or a notebook."""

import hashlib
import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..plugins.checks import Kind
from ..plugins.manager import Plugins
from ..runs.from_python import named
from ..runs.resolve import plain_values
from ..support.interrupts import Interrupted
from ..support.notebook import python_console
from ..support.terminal import PlainConsole
from ..support.yamls import read_yaml
from .command import work_through
from .comparison import Comparison
from .config import ComparisonConfig, check_comparison
from .resources import Resources

COMPARISONS = Path("comparisons")
_KINDS: dict[str, Kind] = {
    "strategy": "strategy",
    "strategies": "strategy",
    "backbone": "backbone",
    "backbones": "backbone",
    "suite": "suite",
    "suites": "suite",
}


def compare(
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    output: str | Path | None = None,
    workers: int | None = None,
    gpus_per_run: float | None = None,
    ray: str | None = None,
    only: Sequence[str] = (),
    dry_run: bool = False,
    progress: bool = True,
    plugins: Plugins | None = None,
    **settings: Any,
) -> Comparison:
    """Run every strategy with every seed, and say which is better, as ``mtl compare`` does.

    ``compare(strategies=["lws", "no_sharing"], suite="alphabets", backbone="resnet18", seeds=5)``
    takes the keys of a comparison's file. Each run has a process of its own, and a finished run is
    never repeated. Where a strategy, a backbone or a suite is a Python object, the runs are done in
    this process, one after another.

    Args:
        config: path of a comparison's file, or its content.
        output: folder of the comparison; default: below ``comparisons``, named after the file, or
            after a digest of the content.
        workers: number of runs at a time.
        gpus_per_run: number of GPUs of each run; with 0.5 two runs share one.
        ray: address of a Ray cluster, or ``auto``.
        only: strategies, by name, whose runs are done; what is done of others is reported, too.
        dry_run: whether only to print the runs, and how long they would take by three steps of each
            strategy.
        progress: whether to show progress, on stderr or below a notebook's cell.
        plugins: plugins in which names are looked up; default: all installed plugins.
        settings: keys of a comparison's file, which win over ``config``, and ``data_root``.
            ``strategies``, ``backbones`` and ``suites`` may hold Python objects as :func:`run`
            takes them.

    Raises:
        MtlError: on anything wrong, with the command's own message; failed runs do not raise, see
            :attr:`Comparison.failed`.
        KeyboardInterrupt: after an interruption; the runs' states are saved, and the same call
            goes on.
    """
    plugins = plugins or Plugins.load()
    comparison, title = _checked(config, settings, plugins)
    directory = COMPARISONS / title if output is None else Path(output)
    outcome = work_through(
        comparison,
        title,
        directory,
        plugins,
        Resources(workers, gpus_per_run, ray),
        PlainConsole(quiet=not dry_run),
        python_console() if progress else PlainConsole(quiet=True),
        dry_run=dry_run,
        only=[only] if isinstance(only, str) else list(only),
    )
    if outcome.signal is not None:
        _raise(outcome.signal, f"all saved in {directory}; the same call goes on")
    return Comparison(directory, outcome.records, outcome.analyses, outcome.page)


def _raise(stopped: int, text: str) -> NoReturn:
    if stopped == signal.SIGINT:
        raise KeyboardInterrupt(f"interrupted, {text}")
    raise Interrupted(stopped, text)


def _checked(
    config: str | Path | Mapping[str, Any] | None, settings: Mapping[str, Any], plugins: Plugins
) -> tuple[ComparisonConfig, str]:
    """Return the checked comparison, and its name."""
    overrides = {key: _plain(key, value, plugins) for key, value in settings.items()}
    if "data_root" in overrides:
        overrides["suite.data_root"] = overrides.pop("data_root")
    lines = None
    values: Mapping[str, Any] = {}
    if isinstance(config, Mapping):
        values = {str(key): _plain(str(key), value, plugins) for key, value in config.items()}
    elif config is not None:
        values, lines = read_yaml(Path(config))
    source = str(config) if lines is not None else "compare"
    comparison = check_comparison(values, source, plugins, overrides, lines)
    text = json.dumps([values, overrides], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return comparison, Path(source).stem if lines is not None else f"{source}-{digest}"


def _plain(key: str, value: Any, plugins: Plugins) -> Any:
    """Return a key's value as a file holds it, with names for its Python objects."""
    kind = _KINDS.get(key)
    if kind is None:
        return plain_values(value, key)
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return (
        [named(kind, item, plugins) for item in value] if several else named(kind, value, plugins)
    )
