"""``mtl_framework.Comparison`` shows the runs and figures of a comparison in Python."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..networks.result import Result
from ..networks.result_view import html_table
from ..reports.analysis import Analysis
from ..reports.failures import failure_lines
from ..reports.tables import runs_text, with_sd
from ..runs.records import RunRecord
from ..support.frames import data_frame
from .files import tidy_rows


@dataclass(frozen=True, repr=False)
class Comparison:
    """A comparison holds the runs, tables and tests that :func:`mtl_framework.compare` made.

    Args:
        directory: the folder, with ``comparison.json`` and ``comparison.csv``.
        records: every run, those of controls among them.
        analyses: table, tests and controls of every suite and backbone; empty after a dry run.
        report: path of the page with figures; ``None`` where no run is done.
    """

    directory: Path
    records: tuple[RunRecord, ...]
    analyses: tuple[Analysis, ...]
    report: Path | None

    @property
    def results(self) -> tuple[Result, ...]:
        """Return the results of the runs that are done."""
        return tuple(record.result for record in self.records if record.result is not None)

    @property
    def failed(self) -> tuple[RunRecord, ...]:
        """Return the runs that failed, each with its error."""
        return tuple(record for record in self.records if record.state == "failed")

    def to_pandas(self) -> Any:
        """Return all numbers of all runs as a data frame, as ``comparison.csv`` has them.

        The columns are suite, backbone, strategy, seed, state, metric, split, task, value and
        directory.

        Raises:
            MtlError: if pandas (extra ``pandas``) is not installed.
        """
        return data_frame(tidy_rows(self.directory, self.records))

    def __repr__(self) -> str:
        done, failed = len(self.results), len(self.failed)
        strategies = len({record.strategy for record in self.records})
        return (
            f"<Comparison: {strategies} strategies, {done} of {len(self.records)} runs done"
            f"{f', {failed} failed' if failed else ''}, in {self.directory}>"
        )

    def _repr_html_(self) -> str:
        return "".join(self._parts())

    def _parts(self) -> Iterator[str]:
        for analysis in self.analyses:
            group = analysis.group
            yield f"<div><b>{html.escape(f'{group.suite} · {group.networks}')}</b></div>"
            tasks = group.tasks if group.mixed else ()
            columns = [*(f"{task} ({group.metrics[task]})" for task in tasks)]
            rows = []
            for row in analysis.rows:
                figures = [
                    with_sd(row.per_task.get(task), group.metrics[task]) for task in tasks
                ] or [with_sd(row.error_mean, group.unit)]
                name = f"{row.strategy} *" if row.best else row.strategy
                delta = with_sd(row.delta_m, signed=True)
                rows.append([name, runs_text(row), *figures, delta])
            head = ["strategy", "runs", *(columns or [group.unit]), "Δm %"]
            yield html_table(head, rows)
            star = "*: bold in the report" if any(row.best for row in analysis.rows) else ""
            for note in (analysis.caption, star, *analysis.notes):
                yield f"<div>{html.escape(note)}</div>" if note else ""
            for controls in analysis.controls:
                yield f"<div>{html.escape(controls.verdict)}</div>"
        for line in failure_lines(self.records):
            yield f"<div>failed: {html.escape(line)}</div>"
        where = f"files: {self.directory}" if self.report is None else f"report: {self.report}"
        yield f"<div>{html.escape(where)}</div>"
