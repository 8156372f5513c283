"""A report is built from analysed groups: figure files, and the page that holds them all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ..plugins.report_figure import ReportFigure
from ..runs.records import RunRecord
from ..support.causes import Cause
from ..support.files import make_folder, replacing, write_text
from .analysis import Analysis, Pair
from .assignments import Assignments, assignments_of
from .class_figures import class_figures
from .curves import entropy_curves, error_curves
from .failures import failures
from .figure import data_uri, png, slug, svg
from .gains import task_gains
from .map_figures import map_figures
from .pairs import pair_map
from .sharing import sharing_map
from .tables import mean_of, runs_text, with_sd
from .trade_off import trade_off
from .usage import usage_bars

REPORT, FIGURES = "report.html", "figures"
_LONGEST = 180  # letters of a figure's file name, without suffix and number

PluginFigures = Callable[[Sequence[RunRecord]], Iterable[ReportFigure]]


@dataclass(frozen=True)
class _Section:
    analysis: Analysis
    pairs: list[Pair]
    figures: list[Mapping[str, Any]]
    failed: list[Cause]


def write_report(
    directory: Path,
    title: str,
    subtitle: str,
    analyses: Sequence[Analysis],
    plugin_figures: PluginFigures | None = None,
    problems: Sequence[str] = (),
) -> Path:
    """Write ``report.html``, and every figure as SVG and PNG below ``figures``.

    Args:
        directory: the folder for the page and its figures.
        title: title of the page.
        subtitle: the line below the title.
        analyses: analyses, each of which becomes a section.
        plugin_figures: function that makes further figures from the runs of a section.
        problems: lines on what was left out and why; they are read after the figures are drawn.

    Returns:
        the path of the page.

    Raises:
        MtlError: if a file cannot be written.
    """
    folder = directory / FIGURES
    make_folder(folder)
    sections = []
    taken: set[str] = set()
    for analysis in analyses:
        figures = list(draw_figures(analysis))
        if plugin_figures is not None:
            figures += plugin_figures(analysis.group.records)
        prefix = slug(f"{analysis.group.suite}-{analysis.group.backbone}")
        written = [
            write_figure(folder, free_stem(f"{prefix}-{figure.name}", taken), figure)
            for figure in figures
        ]
        failed = failures(analysis.group.records)
        sections.append(_Section(analysis, _shown_pairs(analysis), written, failed))
    page = template("page.html.j2").render(
        title=title,
        subtitle=subtitle,
        groups=sections,
        problems=list(problems),
        with_sd=with_sd,
        mean_of=mean_of,
        runs_text=runs_text,
    )
    path = directory / REPORT
    write_text(path, page)
    return path


def draw_figures(analysis: Analysis) -> Iterator[ReportFigure]:
    """Draw all figures of a group for which there are data."""
    group = analysis.group
    for figure in (
        error_curves(group), trade_off(analysis), task_gains(analysis), entropy_curves(group),
    ):  # fmt: skip
        if figure is not None:
            yield figure
    yield from class_figures(group, analysis.select)
    yield from map_figures(group, analysis.select)
    found = [assignments_of(group, strategy) for strategy in group.strategies]
    for assignments in found:
        if assignments is not None and not assignments.trivial:
            yield from _sharing_figures(analysis, assignments)


def _sharing_figures(analysis: Analysis, found: Assignments) -> Iterator[ReportFigure]:
    name = slug(found.strategy)
    yield sharing_map(analysis.group, found, f"sharing-{name}")
    yield usage_bars(found, f"usage-{name}")
    pairs = pair_map(found, f"pairs-{name}")
    if pairs is not None:
        yield pairs


def free_stem(stem: str, taken: set[str]) -> str:
    """Make a file name that no figure has yet, and no file system finds too long.

    Different names may need a number: letters other than a to z are all written as ``-``, and long
    names are cut.
    """
    stem = stem[:_LONGEST].rstrip("-")
    free, number = stem, 1
    while free in taken:
        number += 1
        free = f"{stem}-{number}"
    taken.add(free)
    return free


def write_figure(folder: Path, stem: str, figure: ReportFigure) -> Mapping[str, Any]:
    """Write a figure as SVG and PNG, and return what a page needs of it.

    Raises:
        MtlError: if a file cannot be written.
    """
    text = svg(figure.figure)
    write_text(folder / f"{stem}.svg", text)
    with replacing(folder / f"{stem}.png") as temporary:
        temporary.write_bytes(png(figure.figure))
    width, height = (round(96 * size) for size in figure.figure.get_size_inches())
    return {
        "title": figure.title,
        "alt": figure.alt,
        "caption": figure.caption,
        "wide": figure.wide,
        "source": data_uri(text),
        "width": width,
        "height": height,
    }


def _shown_pairs(analysis: Analysis) -> list[Pair]:
    """Choose each two strategies once, in the direction of the smaller error."""
    found: dict[frozenset[str], Pair] = {}
    for pair in analysis.pairs:
        key = frozenset((pair.better, pair.other))
        if key not in found or pair.difference.value < found[key].difference.value:
            found[key] = pair
    return list(found.values())


def template(name: str) -> jinja2.Template:
    """Return the template of a page, whose texts are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mtl_framework", "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
