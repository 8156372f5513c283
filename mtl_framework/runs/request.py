"""A request asks for a run, from the command line or from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..plugins.manager import Plugins
from ..support.allocator import keep_freed_memory
from ..support.errors import MtlError
from ..support.files import kind_of
from .location import relocated
from .names import QUICK, run_name
from .resolve import Layer, ResolvedConfig, former, read_file, resolve
from .settings import Setting

if TYPE_CHECKING:
    from .run import Run

RUNS = Path("runs")


@dataclass(frozen=True)
class Request:
    """A request says which run is asked for, before anything is checked.

    Args:
        flags: top-level keys of a config; they take precedence over the file.
        settings: single keys, which take precedence over both.
        config: a config file, or its content.
        output: folder of the run; ``None``: a folder below ``runs``, see :func:`run_name`.
        resume: whether to resume the run in ``output``.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[Setting] = ()
    config: Path | Mapping[str, Any] | None = None
    output: Path | None = None
    resume: bool = False

    def resolved(self, plugins: Plugins) -> tuple[ResolvedConfig, Path]:
        """Return the complete configuration and the folder of the run.

        Raises:
            MtlError: naming what is wrong in the configuration, or the run that is not there.
        """
        complete, folder, _ = self._resolved(plugins)
        return complete, folder

    def _resolved(self, plugins: Plugins) -> tuple[ResolvedConfig, Path, bool]:
        """Do as :meth:`resolved`, and say whether the run is a :func:`first_look`."""
        given = Layer({key: value for key, value in self.flags.items() if value is not None})
        folder, layers, first = self.output, [given], []
        if self.resume:
            if self.config is not None or "preset" in given.values:
                raise MtlError(
                    "--resume reads the run's own config: leave out --config and --preset"
                )
            if folder is None:
                folder = self._default_folder(given, plugins)
            if kind_of(folder / "config.yaml") != "file":
                raise MtlError(f"cannot resume: there is no run in {folder} (no config.yaml)")
            saved = former(read_file(folder / "config.yaml"), plugins)
            layers = [saved, _moved(given, saved)]
        elif self.config is not None:
            file = self.config
            layers.insert(0, read_file(file) if isinstance(file, Path) else Layer(file))
        if not self.resume:
            first = first_look(layers, self.settings, plugins)
        complete = resolve(plugins, [*first, *layers], self.settings)
        if folder is None:
            folder = free_folder(RUNS / run_name(complete.config, plugins))
        return complete, folder, bool(first)

    def _default_folder(self, given: Layer, plugins: Plugins) -> Path:
        """Return the folder of the run to be resumed, which may have been a first look."""
        complete = resolve(plugins, [given], self.settings)
        folder = RUNS / run_name(complete.config, plugins)
        if not kind_of(folder) and QUICK in complete.strategy_class.presets:
            quick = resolve(plugins, [Layer({"preset": QUICK}), given], self.settings)
            look = RUNS / run_name(quick.config, plugins)
            folder = look if kind_of(look) else folder
        return existing_folder(folder)

    def start(self, plugins: Plugins, console: Console | None = None) -> "Run":
        """Build the run, ready to be executed.

        Args:
            plugins: where names are looked up.
            console: shows messages and progress; ``None``: nothing is shown.

        Raises:
            MtlError: on anything wrong; nothing was written then.
        """
        complete, output, quick = self._resolved(plugins)
        from ..support.distributed import from_first
        from .run import Run  # which imports torch: what is wrong above is told at once

        keep_freed_memory()
        if quick and console is not None:
            config = complete.config
            console.print(
                f"a first look: preset {QUICK} of {config.strategy.name}, {config.iterations} "
                "iterations; any option, or --iterations, asks for more",
                markup=False,
                soft_wrap=True,
            )
        output = from_first(output)  # of several processes: the others may see it made already
        return Run.start(complete, plugins, output, resume=self.resume, console=console)


def _moved(given: Layer, saved: Layer) -> Layer:
    """Look for the data of a saved run in the folder that is given now, if one is."""
    suite = given.values.get("suite")
    if not isinstance(suite, Mapping) or not isinstance(suite.get("data_root"), str):
        return given
    here = {**relocated(saved.values.get("suite"), suite["data_root"]), **suite}
    return Layer({**given.values, "suite": here}, given.source)


def first_look(
    layers: Sequence[Layer], settings: Sequence[Setting], plugins: Plugins
) -> list[Layer]:
    """Return the strategy's preset ``quick`` where nothing says how long, or how, it should train.

    Args:
        layers: the lowest first.
        settings: applied after all layers.
        plugins: where the strategy is looked up.

    Returns:
        a layer that asks for the preset, to be put below all others; none where a layer or setting
        has ``iterations``, a preset or an option of the strategy, or the strategy has no such
        preset.
    """
    complete = resolve(plugins, layers, settings)
    keys = {key for layer in layers for key in layer.values} | {s.key[0] for s in settings}
    options: set[str] = set()
    for layer in layers:
        strategy = layer.values.get("strategy")
        options |= set(strategy) - {"name"} if isinstance(strategy, Mapping) else set()
    options |= {s.key[1] for s in settings if s.key[0] == "strategy" and s.key[1:] != ("name",)}
    chosen = keys & {"iterations", "preset", *complete.strategy_class.Config.model_fields}
    if chosen or options or QUICK not in complete.strategy_class.presets:
        return []
    return [Layer({"preset": QUICK})]


def free_folder(first: Path) -> Path:
    """Return the default folder of a new run, with a number where that exists already."""
    folder, number = first, 1
    while kind_of(folder):
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def existing_folder(first: Path) -> Path:
    """Return the default folder of a run to be resumed.

    Raises:
        MtlError: if there is no such run, or there are several.
    """
    if kind_of(first / "config.yaml") != "file":
        raise MtlError(f"--resume finds no run in {first}; name its folder with --output")
    if kind_of(first.with_name(f"{first.name}-2")):
        raise MtlError(f"there are several runs {first}*; name one with --output")
    return first
