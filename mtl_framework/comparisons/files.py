"""``comparison.json`` and ``comparison.csv`` hold a comparison in tidy form."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..reports.analysis import Analysis, Row
from ..runs.records import Control, RunRecord
from ..support.errors import MtlError
from ..support.files import write_text
from ..support.spreadsheets import csv_cell

FORMAT = "mtl-framework comparison 1"
JSON, CSV = "comparison.json", "comparison.csv"
_MEASURED = ("seconds", "memory")


def write_files(
    directory: Path,
    settings: Mapping[str, Any],
    records: Sequence[RunRecord],
    analyses: Sequence[Analysis],
) -> None:
    """Write ``comparison.json`` and ``comparison.csv``, each whole or not at all.

    Everything that depends on the machine's speed and memory stands under ``measured`` in the JSON:
    the rest is the same for every repetition on one kind of machine.

    Args:
        directory: the folder of the comparison.
        settings: the settings ``baseline``, ``significance`` and ``select``.
        records: every run.
        analyses: the analysis of every suite and backbone.

    Raises:
        MtlError: if a file cannot be written.
    """
    content = {
        "format": FORMAT,
        "settings": dict(settings),
        "runs": [_run(directory, record) for record in records],
        "groups": [_group(analysis) for analysis in analyses],
        "measured": {
            "runs": [_measured(directory, r) for r in records if r.result is not None],
            "groups": [_measured_group(analysis) for analysis in analyses],
        },
    }
    write_text(directory / JSON, json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_text(directory / CSV, _csv(directory, records))


def read_cells(directory: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the settings and the cells of ``comparison.json``, without the runs' results.

    Raises:
        MtlError: if the file cannot be read or is not a comparison.
    """
    file = directory / JSON
    try:
        found = json.loads(file.read_bytes())
        cells = [
            {
                **{key: str(run[key]) for key in ("strategy", "suite", "backbone")},
                "seed": int(run["seed"]),
                "directory": directory / str(run["directory"]),
                "iterations": int(run["iterations"]),
                "control": Control(**run["control"]) if "control" in run else None,
            }
            for run in found["runs"]
        ]
        settings = dict(found["settings"])
        if found["format"] != FORMAT:
            raise ValueError(f"format is {found['format']!r}, should be {FORMAT!r}")
    except OSError as error:
        raise MtlError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise MtlError(f"{file} is not a comparison: {' '.join(str(error).split())}") from error
    return settings, cells


def _run(directory: Path, record: RunRecord) -> dict[str, Any]:
    result = record.result
    found: dict[str, Any] = {**_key(directory, record), "state": record.state}
    found["iterations"] = record.iterations
    if record.control is not None:
        found["control"] = asdict(record.control)
    if record.error is not None:
        found["error"] = record.error
    if result is not None:
        found["test"] = asdict(result.test)
        found["validation"] = None if result.validation is None else asdict(result.validation)
        found["best"] = None if result.best is None else asdict(result.best)
        found["metrics"] = result.metrics
        found["parameters"] = asdict(result.parameters)
        found["macs"] = result.macs
        found["assignment"] = None if result.assignment is None else asdict(result.assignment)
    return found


def _key(directory: Path, record: RunRecord) -> dict[str, Any]:
    return {
        "strategy": record.strategy,
        "suite": record.suite,
        "backbone": record.backbone,
        "seed": record.seed,
        "directory": Path(os.path.relpath(record.directory, directory)).as_posix(),
    }


def _measured(directory: Path, record: RunRecord) -> dict[str, Any]:
    result = record.result
    assert result is not None
    return {
        **_key(directory, record),
        "seconds": result.seconds,
        "seconds_per_iteration": result.seconds_per_iteration,
        "peak_memory_mib": result.peak_memory,
        "device": result.device,
        "threads": result.threads,
        "versions": result.versions,
    }


def _group(analysis: Analysis) -> dict[str, Any]:
    return {
        "suite": analysis.group.suite,
        "backbone": analysis.group.backbone,
        "unit": analysis.group.unit,
        "tasks": list(analysis.group.tasks),
        "baseline": analysis.baseline,
        "strategies": [
            {key: value for key, value in asdict(row).items() if key not in _MEASURED}
            for row in analysis.rows
        ],
        "tests": [asdict(pair) for pair in analysis.pairs],
        "caption": analysis.caption,
        "controls": [asdict(controls) for controls in analysis.controls],
        "notes": list(analysis.notes),
        "unlike": [
            {"key": setting.key, "values": {v: list(s) for v, s in setting.values.items()}}
            for setting in analysis.unlike
        ],
    }


def _measured_group(analysis: Analysis) -> dict[str, Any]:
    def costs(row: Row) -> dict[str, Any]:
        plain = asdict(row)
        return {"strategy": row.strategy, **{key: plain[key] for key in _MEASURED}}

    return {
        "suite": analysis.group.suite,
        "backbone": analysis.group.backbone,
        "strategies": [costs(row) for row in analysis.rows],
    }


_COLUMNS = (
    "suite", "backbone", "strategy", "seed", "state", "metric", "split", "task", "value",
    "directory",
)  # fmt: skip


def tidy_rows(directory: Path, records: Iterable[RunRecord]) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of each run, with the columns of ``comparison.csv``.

    The metrics are ``error_mean``, ``error_pooled``, ``error`` and ``loss`` of each task, each
    task's metrics by their labels, and the costs.
    """
    for record in records:
        key = {**_key(directory, record), "state": record.state}
        rows = list(_numbers(record))
        for metric, split, task, value in rows or [("", "", "", "")]:
            row = {**key, "metric": metric, "split": split, "task": task, "value": value}
            yield {name: row[name] for name in _COLUMNS}


def _csv(directory: Path, records: Iterable[RunRecord]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in tidy_rows(directory, records):
        writer.writerow({name: csv_cell(cell) for name, cell in row.items()})
    return text.getvalue()


def _numbers(record: RunRecord) -> Iterator[tuple[str, str, str, float | int | str]]:
    result = record.result
    if result is None:
        return
    splits = {"validation": result.validation, "test": result.test}
    if result.best is not None:
        splits["best validation"] = result.best.validation
        splits["best test"] = result.best.test
    for name, split in splits.items():
        if split is None:
            continue
        if split.error_mean is not None:
            yield "error_mean", name, "", split.error_mean
        if split.error_pooled is not None:
            yield "error_pooled", name, "", split.error_pooled
        for task, value in split.per_task.items():
            yield "error", name, task, value
        for task, metrics in split.metrics.items():
            for label, number in metrics.items():
                if number is not None:
                    yield label, name, task, number
        for task, value in split.loss_per_task.items():
            yield "loss", name, task, value
    yield "parameters_trained", "", "", result.parameters.trained
    yield "parameters_deployed", "", "", result.parameters.deployed
    if result.macs is not None:
        yield "macs", "", "", result.macs
    yield "seconds", "", "", result.seconds
    yield "seconds_per_iteration", "", "", result.seconds_per_iteration
    if result.peak_memory is not None:
        yield "peak_memory_mib", "", "", result.peak_memory
