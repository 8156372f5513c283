"""A search has a page: its best trials in a table, and the figures of all."""

from pathlib import Path

from ..support.causes import group_by_cause
from ..support.files import make_folder, write_text
from .build import FIGURES, REPORT, free_stem, template, write_figure
from .search_figures import search_figures
from .trials import SearchRecord, plain

_MOST_ROWS = 20


def write_search_page(directory: Path, search: SearchRecord) -> Path:
    """Write ``report.html``, and every figure as SVG and PNG below ``figures``.

    Args:
        directory: the folder for the page and its figures.
        search: the search, of which at least one trial has ended.

    Returns:
        the path of the page.

    Raises:
        MtlError: if a file cannot be written.
    """
    folder = directory / FIGURES
    make_folder(folder)
    taken: set[str] = set()
    figures = [
        write_figure(folder, free_stem(figure.name, taken), figure)
        for figure in search_figures(search)
    ]
    states = [trial.state for trial in search.trials]
    counts = [
        f"{states.count(state)} {word}"
        for state, word in (
            ("done", "run to their end"),
            ("pruned", "ended early"),
            ("failed", "failed"),
            ("running", "not ended"),
        )
        if state in states
    ]
    page = template("search.html.j2").render(
        title=search.title,
        subtitle=f"{len(states)} trials: {', '.join(counts)}",
        search=search,
        rows=search.done[:_MOST_ROWS],
        names=list(search.scales),
        figures=figures,
        failed=_failed(search),
        plain=plain,
    )
    path = directory / REPORT
    write_text(path, page)
    return path


def _failed(search: SearchRecord) -> list[str]:
    return group_by_cause(
        (f"trial {t.number}", t.why) for t in search.trials if t.state == "failed"
    )
