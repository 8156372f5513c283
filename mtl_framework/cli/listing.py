"""``mtl list`` shows what can be named on the command line."""

from fnmatch import fnmatchcase
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..backbones.timm_names import timm_models
from ..plugins.descriptions import first_line_of
from ..plugins.entry_points import entry_point_metadata, installed
from ..support.errors import MtlError
from ..support.terminal import Column, fitted_table
from .console import load_plugins, say_warning, stdout

if TYPE_CHECKING:
    from ..plugins.checks import Kind
    from ..plugins.contributions import Contribution
    from ..plugins.manager import Plugins

app = typer.Typer(
    help="List strategies, backbones, suites, objectives, heads, observers or plugins."
)


@app.command(help="List strategies: ways to share weights.")
def strategies() -> None:
    """List the strategies of all plugins."""
    _print_contributions("strategy", "what it does")
    stdout().print("Options and presets of one: mtl describe --strategy NAME")


@app.command(help="List networks: the plugins' own, and timm's.")
def backbones(
    pattern: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="GLOB", help="Pattern of the names to list, e.g. 'resnet*'."
        ),
    ] = None,
) -> None:
    """List the backbones of all plugins; those of timm where a pattern is given."""
    plugins = load_plugins()
    models = timm_models()
    table = _Table("backbone", "what it is", "plugin")
    for found in plugins.contributions("backbone"):
        if pattern is None or fnmatchcase(found.name, pattern):
            table.add_row(found.name, _about(plugins, found), _source(found))
    if pattern is not None:
        for name in models:
            if fnmatchcase(name, pattern):
                table.add_row(name, "", "timm")
        if not table.rows:
            raise MtlError(f"no backbone matches {pattern!r}; try '*{pattern.strip('*')}*'")
    table.print()
    if pattern is None:
        stdout().print(
            f"and the {len(models)} models of timm {version_of('timm')}: "
            "mtl list backbones --filter 'resnet*'",
            markup=False,
        )


@app.command(help="List suites: sets of tasks that are trained together.")
def suites() -> None:
    """List the suites of all plugins."""
    _print_contributions("suite", "what it holds")


@app.command(help="List what can watch a run: `observers: [NAME]` in its config.")
def observers() -> None:
    """List the observers of all plugins."""
    _print_contributions("observer", "what it does")


@app.command(help="List losses that a config can choose: `objectives: {TASK: {name: NAME}}`.")
def objectives() -> None:
    """List the objectives of the framework and of all plugins."""
    _print_contributions("objective", "what it does")
    stdout().print("Options of one: mtl describe --objective NAME")


@app.command(help="List decoders of tasks with maps: `heads: {TASK: NAME}`.")
def heads() -> None:
    """List the heads of the framework and of all plugins."""
    _print_contributions("head", "what it is")
    stdout().print("Options of one: mtl describe --head NAME")


@app.command(help="List installed plugins; nothing of them is imported unless --check is given.")
def plugins(
    check: Annotated[
        bool, typer.Option("--check", help="Import each, and say what it contributes.")
    ] = False,
) -> None:
    """List plugins, by the metadata of the distributions that installed them."""
    present = installed()
    table = _Table("plugin", "distribution", "version", "module", *["contributes"] * check)
    loaded = _load_quietly() if check else None
    for found in entry_point_metadata(present.entries):
        row = [found.plugin, found.distribution, found.version, found.module]
        if loaded is not None:
            row.append(_contributed(loaded, found.plugin, found.distribution))
        table.add_row(*row)
    table.print()
    if loaded is None:
        for left_out in present.unreadable:
            say_warning(f"plugin {left_out.plugin!r} of {left_out.distribution}: {left_out.reason}")
        stdout().print("Import each and see what it contributes: mtl list plugins --check")
        return
    wrong = [str(problem) for problem in loaded.problems] + _not_importable(loaded)
    for problem in wrong:
        say_warning(problem)
    if wrong:
        raise typer.Exit(1)


def _not_importable(loaded: "Plugins") -> list[str]:
    """Return what is wrong with contributions of which a plugin gives the place alone.

    Observers are left out: the packages that they write for are extras, which may be absent.
    """
    from ..support.errors import MtlError

    wrong = []
    for kind, _ in _KINDS:
        for found in loaded.contributions(kind) if kind != "observer" else ():
            try:
                loaded.resolved(found)
            except MtlError as error:
                wrong.append(str(error))
    return wrong


def _print_contributions(kind: "Kind", about: str) -> None:
    plugins = load_plugins()
    table = _Table(kind, about, "plugin")
    for found in plugins.contributions(kind):
        table.add_row(found.name, _about(plugins, found), _source(found))
    table.print()


def _load_quietly() -> "Plugins":
    from ..plugins.manager import Plugins

    return Plugins.load(on_problem=lambda problem: None)


_KINDS: tuple[tuple["Kind", str], ...] = (
    ("strategy", "strategies"),
    ("backbone", "backbones"),
    ("suite", "suites"),
    ("observer", "observers"),
    ("objective", "objectives"),
    ("head", "heads"),
)


def _contributed(loaded: "Plugins", plugin: str, distribution: str) -> str:
    parts = []
    for kind, plural in _KINDS:
        names = [
            found.name
            for found in loaded.contributions(kind)
            if (found.source.plugin, found.source.distribution) == (plugin, distribution)
        ]
        if names:
            parts.append(f"{plural} {', '.join(names)}")
    broken = any((p.plugin, p.distribution) == (plugin, distribution) for p in loaded.problems)
    return "; ".join([*parts, *(["see warning"] if broken else [])]) or "observers only"


def _about(plugins: "Plugins", found: "Contribution") -> str:
    """Describe a contribution in one line, or say why it is broken; imported only if need be."""
    if isinstance(found.value, str):
        line = first_line_of(found.value)
        if line is not None:
            return line
    try:
        value = plugins.resolved(found)
    except MtlError as error:
        return str(error)
    return (value.__doc__ or "").strip().partition("\n")[0]


def _source(found: "Contribution") -> str:
    source = found.source
    own = source.distribution == "mtl-framework"
    return source.plugin if own else f"{source.plugin} ({source.distribution})"


class _Table:
    """A table prints its rows together; descriptions are folded, names are not."""

    def __init__(self, *columns: str) -> None:
        self._columns = [
            Column(name, importance=number, prose=name.startswith(("what", "contributes")))
            for number, name in enumerate(columns)
        ]
        self.rows: list[list[str | Text]] = []

    def add_row(self, *cells: str) -> None:
        self.rows.append(list(cells))

    def print(self) -> None:
        console = stdout()
        console.print(fitted_table(self._columns, self.rows, console.width))
