"""Finished runs are found in folders, and named by the settings in which they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..networks.result import Result
from ..reports.analysis import Analysis, analyse
from ..runs.config import RunConfig
from ..runs.records import RunRecord, make_groups, read_history
from ..runs.resolve import read_file
from ..support.causes import group_by_cause
from ..support.errors import MtlError
from ..support.files import kind_of
from ..support.validation import validated
from .cells import inspect
from .files import JSON, read_cells
from .grid import significant

KINDS = ("strategy", "suite", "backbone")


@dataclass(frozen=True)
class Found:
    """This result of a search holds analyses of runs, and lines on folders that were left out."""

    analyses: tuple[Analysis, ...]
    left_out: tuple[str, ...]

    @property
    def records(self) -> list[RunRecord]:
        """Return all runs of all analyses."""
        return [record for analysis in self.analyses for record in analysis.group.records]


def find(directories: Sequence[Path], baseline: str | None = None) -> Found:
    """Find the runs in folders and analyse them.

    A single folder of a comparison keeps the comparison's names and settings. Any other folder is a
    run, or is searched for runs; a strategy's runs with different settings get different names.

    Args:
        directories: folders of comparisons, of runs, or that hold runs.
        baseline: strategy that Delta m refers to; ``None``: the comparison's, or one without
            sharing.

    Raises:
        MtlError: if a folder is missing, or no folder holds a run.
    """
    for directory in directories:
        if kind_of(directory) != "folder":
            raise MtlError(f"there is no folder {directory}")
    settings: Mapping[str, Any] = {}
    left_out: list[tuple[Path, str]] = []
    if len(directories) == 1 and kind_of(directories[0] / JSON) == "file":
        settings, cells = read_cells(directories[0])
        records = []
        for cell in cells:
            try:
                record = _cell_record(cell)
                assert record.history is not None  # read now: a damaged file leaves the run out
            except MtlError as error:
                left_out.append((cell["directory"], str(error)))
                continue
            records.append(record)
    else:
        records, left_out = _loose_records(directories)
    if not records:
        where = ", ".join(map(str, directories))
        if left_out:
            raise MtlError(f"no run in {where} can be read: {'; '.join(_by_cause(left_out)[:3])}")
        raise MtlError(f"there is no run in {where}")
    compared = [record for record in records if record.control is None]
    strategies = list(dict.fromkeys(record.strategy for record in compared))
    if baseline is not None and baseline not in strategies:
        raise MtlError(f"--baseline is {baseline!r}, should be one of {', '.join(strategies)}")
    analyses = [
        analyse(
            group,
            baseline or settings.get("baseline"),
            settings.get("significance", 0.05),
            settings.get("select", "last"),
        )
        for group in make_groups(records)
    ]
    return Found(tuple(analyses), tuple(_by_cause(left_out)))


def _by_cause(left_out: Sequence[tuple[Path, str]]) -> list[str]:
    """Describe what was left out: one line for each cause, which names a folder once."""
    return group_by_cause(
        (str(folder), text.replace(f"{folder}/", "").replace(f"{folder} ", ""))
        for folder, text in left_out
    )


def _cell_record(cell: Mapping[str, Any]) -> RunRecord:
    directory: Path = cell["directory"]
    file = directory / "config.yaml"
    record = RunRecord(
        strategy=cell["strategy"],
        suite=cell["suite"],
        backbone=cell["backbone"],
        seed=cell["seed"],
        directory=directory,
        iterations=cell["iterations"],
        state="waiting",
        control=cell["control"],
    )
    if kind_of(file) != "file":
        config = RunConfig(iterations=cell["iterations"])
    else:
        config = validated(RunConfig, read_file(file).values)
    status = inspect(directory, config)
    return replace(record, state=status.state, result=status.result, error=status.error)


def _loose_records(directories: Sequence[Path]) -> tuple[list[RunRecord], list[tuple[Path, str]]]:
    folders = [folder for directory in directories for folder in _run_folders(directory)]
    left_out: list[tuple[Path, str]] = []
    known: dict[str, Path] = {}
    runs = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        try:
            config = validated(RunConfig, read_file(folder / "config.yaml").values)
            result = Result.load(folder) if kind_of(folder / "result.json") == "file" else None
            read_history(folder / "metrics.jsonl")
        except MtlError as error:
            left_out.append((folder, str(error)))
            continue
        plain = significant(config)
        key = repr(plain)
        if key in known:
            left_out.append((folder, f"repeats {known[key]}: the same config and seed"))
            continue
        known[key] = folder
        runs.append((folder, config, plain, result))
    names = _labels([plain for _, _, plain, _ in runs])
    records = []
    for (folder, config, _, result), label in zip(runs, names, strict=True):
        state = inspect(folder, config)
        records.append(
            RunRecord(
                strategy=label["strategy"],
                suite=label["suite"],
                backbone=label["backbone"],
                seed=config.seed,
                directory=folder,
                iterations=config.iterations,
                state="done" if result else state.state,
                result=result,
                error=state.error,
            )
        )
    return records, left_out


def _run_folders(directory: Path) -> list[Path]:
    if kind_of(directory / "config.yaml") == "file":
        return [directory]
    try:
        return sorted(file.parent for file in directory.rglob("config.yaml"))
    except OSError as error:
        raise MtlError(f"cannot read {directory}: {error.strerror or error}") from error


def _labels(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Name strategy, suite and backbone of every run by the settings in which runs differ.

    Differences outside suite and backbone go to the strategy's name. Settings that all runs of one
    name have in common are left out.
    """
    rest = [
        {k: v for k, v in config.items() if k not in (*KINDS, "seed", "device")}
        for config in configs
    ]
    labels: list[dict[str, str]] = [{} for _ in configs]
    for kind in KINDS:
        for position, config in enumerate(configs):
            options = config[kind]
            same = [c[kind] for c in configs if c[kind]["name"] == options["name"]]
            differing = {k: v for k, v in options.items() if any(o.get(k) != v for o in same)}
            if kind == "strategy":
                others = [
                    r
                    for r, c in zip(rest, configs, strict=True)
                    if c[kind]["name"] == options["name"]
                ]
                differing |= {
                    k: v for k, v in rest[position].items() if any(o[k] != v for o in others)
                }
            text = ", ".join(f"{k}={_short(v)}" for k, v in differing.items())
            labels[position][kind] = f"{options['name']} ({text})" if text else options["name"]
    return labels


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 30 else text[:29] + "…"
