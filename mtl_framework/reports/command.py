"""The report of analysed runs is written with the figures that plugins add."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..plugins.manager import Plugins
from ..plugins.report_figure import ReportFigure
from ..runs.records import RunRecord
from .analysis import Analysis, run_count
from .build import write_report


def make_report(
    directory: Path,
    title: str,
    analyses: Sequence[Analysis],
    plugins: Plugins,
    left_out: Sequence[str] = (),
) -> Path:
    """Write the report, and return the page's path.

    A plugin whose figure cannot be drawn is named on the page, and the report does without it.

    Args:
        directory: the folder for the page and its figures.
        title: title of the page.
        analyses: analyses, each of which becomes a section.
        plugins: plugins that may give further figures.
        left_out: lines on what is not in the report, and why.

    Raises:
        MtlError: if a file cannot be written.
    """
    problems = list(left_out)

    def figures(records: Sequence[RunRecord]) -> Iterator[ReportFigure]:
        for source, given in plugins.collect("mtl_figures", problems.append, runs=records):
            listed = given if isinstance(given, Iterable) else [given]
            for figure in listed:
                if isinstance(figure, ReportFigure):
                    yield figure
                else:
                    kind = type(figure).__name__
                    problems.append(f"{source}: mtl_figures should give ReportFigure, found {kind}")

    return write_report(directory, title, subtitle(analyses), analyses, figures, problems)


def subtitle(analyses: Sequence[Analysis]) -> str:
    """Say in one line how much was compared."""
    records = [record for analysis in analyses for record in analysis.group.records]
    done = sum(record.result is not None for record in records)
    strategies = len({record.strategy for record in records})
    versions = [record.result.versions for record in records if record.result]
    framework = versions[0].get("framework", "") if versions else ""
    made = f", mtl-framework {framework}" if framework else ""
    settings = "one strategy" if strategies == 1 else f"{strategies} strategies"
    found = f"{done} of {run_count(len(records))} finished"
    return f"{found}, {settings}{made}"
