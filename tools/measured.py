"""Keeps what single runs measured in docs/measured/, and writes tables of docs/results.md from it.

    python tools/measured.py add NAME FOLDER...    take the runs of comparisons into NAME.csv
    python tools/measured.py                       write every table that stands between marks

A file has a row a run: strategy, seed, validation and test error, parameters, seconds, the day, the
multiply-accumulates of a step, who shares what at the end (unit by unit, a letter a task, the same
for tasks that share: ``aab``), and the test error of each task. Networks of more than eight units
or fifty-two tasks, or without an assignment, have no sharing. What a run or suite does not have
(older runs were not counted, some suites have no validation split) is empty, and its column left
out of the table.
So seeds can be added to a table on another day or machine, and readers can test what they like.
A table stands between ``<!-- seeds: NAME -->`` and ``<!-- end -->``; between

    <!-- seeds: NAME from "ROW" only "PATTERN" -->

and the end mark, rows whose names match the pattern as a whole are set against one of them, seed by
seed; without ``from`` they are tested like a table of their own. ``against "ROW"`` instead makes a
table of what each strategy costs and gains: rows in the order of their errors, with Δm, parameters,
operations and seconds, and a test against one of them.
"""

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from statistics import mean
from string import ascii_letters
from types import MappingProxyType
from typing import Any, NamedTuple

from mtl_framework.reports.stats import delta_m, holm, less_p, spread
from mtl_framework.support.files import write_text

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs"
FOLDER = PAGES / "measured"
MARKS = re.compile(
    r'(<!-- seeds: (\w+)(?: (from|against) "([^"]+)")?(?: only "([^"]+)")? -->\n)'
    r".*?(<!-- end -->)",
    re.DOTALL,
)
_FEWEST_MACS = 100_000  # that are shown: 0.0001 GMACs
_MOST_UNITS = 8  # of networks whose sharing is kept
_OF_A_TASK = "error of "  # begins the name of a column
_SEEDS_FOR_A_TEST = 4


class ContradictionError(Exception):
    """A run that is kept says something else than the same run of another folder."""


class Measured(NamedTuple):
    """One run: errors in percent, numbers of parameters trained and needed in the end."""

    strategy: str
    seed: int
    validation: float | None
    test: float
    trained: int
    deployed: int
    seconds: int
    day: str
    macs: int | None = None
    sharing: str = ""
    tasks: Mapping[str, float] = MappingProxyType({})


def runs_of(folder: Path) -> list[Measured]:
    """Return the finished runs of a comparison's folder, controls among them."""
    with (folder / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if len({(row["suite"], row["backbone"]) for row in rows}) > 1:
        sys.exit(f"{folder} has several suites or backbones; a file is of one of each")
    cells = {(row["strategy"], int(row["seed"])): row["directory"] for row in rows}
    found = []
    for (strategy, seed), directory in cells.items():
        saved = folder / directory / "result.json"
        if saved.exists():
            result = json.loads(saved.read_text())
            day = datetime.fromtimestamp(saved.stat().st_mtime, UTC).date().isoformat()
            validation, test = result["validation"], result["test"]["error_mean"]
            seen = None if validation is None else round(validation["error_mean"], 4)
            count, macs = result["parameters"], result.get("macs")
            tasks = {task: round(e, 4) for task, e in result["test"]["per_task"].items()}
            found.append(
                Measured(
                    strategy, seed, seen, round(test, 4), count["trained"], count["deployed"],
                    round(result["seconds"]), day, None if macs is None else round(macs),
                    _sharing(result.get("assignment")), tasks,
                )
            )  # fmt: skip
    return found


def _sharing(assignment: Mapping[str, Any] | None) -> str:
    if assignment is None or len(assignment["weights"]) > _MOST_UNITS:
        return ""
    if len(assignment["tasks"]) > len(ascii_letters):
        return ""

    def letters(row: Sequence[int]) -> str:
        own = dict(zip(dict.fromkeys(row), ascii_letters, strict=False))
        return "".join(own[weight] for weight in row)

    return " ".join(map(letters, assignment["weights"]))


def read(name: str) -> list[Measured]:
    """Return the rows of a file, in its order; none where there is no such file."""
    file = FOLDER / f"{name}.csv"
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [
            Measured(
                row["strategy"], int(row["seed"]),
                float(row["validation"]) if row["validation"] else None, float(row["test"]),
                int(row["trained"]), int(row["deployed"]), round(float(row["seconds"])), row["day"],
                int(row["macs"]) if row.get("macs") else None,
                row.get("sharing") or "",
                {
                    column.removeprefix(_OF_A_TASK): float(found)
                    for column, found in row.items()
                    if column.startswith(_OF_A_TASK) and found
                },
            )
            for row in csv.DictReader(lines)
        ]  # fmt: skip


def add(name: str, folders: Sequence[Path]) -> None:
    """Take runs into a file.

    Raises:
        ContradictionError: a run that is there already says something else; nothing is taken then.
    """
    rows = {(row.strategy, row.seed): row for row in read(name)}
    found = [run for folder in folders for run in runs_of(folder)]
    for run in found:
        there = rows.setdefault((run.strategy, run.seed), run)
        if there[2:6] != run[2:6]:
            raise ContradictionError(
                f"{name}: {run.strategy}, seed {run.seed} is there with {there}, not {run}"
            )
        rows[run.strategy, run.seed] = there._replace(
            macs=run.macs if there.macs is None else there.macs,
            sharing=there.sharing or run.sharing,
            tasks=there.tasks or run.tasks,
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    order = list(dict.fromkeys(strategy for strategy, _ in rows))
    runs = sorted(rows.values(), key=lambda row: (order.index(row.strategy), row.seed))
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    writer.writerow([*Measured._fields[:-1], *(_OF_A_TASK + task for task in tasks)])
    writer.writerows([*run[:-1], *(run.tasks.get(task) for task in tasks)] for run in runs)
    FOLDER.mkdir(exist_ok=True)
    write_text(FOLDER / f"{name}.csv", text.getvalue())


def _groups(
    rows: Iterable[Measured], base: str | None, only: str | None
) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = {}
    for row in rows:
        if only is None or re.fullmatch(only, row.strategy):
            groups.setdefault(row.strategy, []).append(row)
    if base is not None and base not in groups:
        sys.exit(f"the row {base!r} is not among {', '.join(groups)}")
    return groups


def table(rows: Iterable[Measured], base: str | None, only: str | None) -> str:
    """Return a table with a line a strategy, and what can be said of their differences."""
    groups = _groups(rows, base, only)
    if base is not None:  # changes are seed by seed, of the seeds that all rows have
        common = set.intersection(*({run.seed for run in runs} for runs in groups.values()))
        groups = {name: [r for r in runs if r.seed in common] for name, runs in groups.items()}
    every = [run for runs in groups.values() for run in runs]
    validated = all(run.validation is not None for run in every)
    counted = all(run.macs is not None and run.macs >= _FEWEST_MACS for run in every)
    head = ["strategy", "seeds", *(["validation"] if validated else []), "error %"]
    head += ["parameters at the end", *(["GMACs a step"] if counted else [])]
    head += [] if base is None else ["change", "lower in"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for strategy, runs in groups.items():
        cells = [strategy, str(len(runs))]
        if validated:
            cells.append(f"{mean(run.validation or 0.0 for run in runs):.1f}")
        cells += [_spread([run.test for run in runs]), f"{mean(r.deployed for r in runs):,.0f}"]
        if counted:
            cells.append(f"{mean((run.macs or 0.0) / 1e9 for run in runs):.3g}")
        if base is not None:
            cells += _change(runs, groups[base]) if strategy != base else ["from here", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines if base is not None else [*lines, "", _tests(groups)])


def costs(rows: Iterable[Measured], base: str, only: str | None) -> str:
    """Return a table of all figures of each strategy, by error, set against one of them."""
    groups = _groups(rows, base, only)
    before = groups[base]
    means = {task: mean(run.tasks[task] for run in before) for task in before[0].tasks}
    head = ["strategy", "seeds", "error %", "Δm %", "p", "trained", "needed", "GMACs", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    by_error = sorted(groups.items(), key=lambda named: mean(run.test for run in named[1]))
    for strategy, runs in by_error:
        gains = [gain for r in runs if (gain := delta_m(r.tasks, means).mean) is not None]
        counted = [run.macs / 1e9 for run in runs if run.macs is not None]
        cells = [
            strategy,
            str(len(runs)),
            _spread([run.test for run in runs]),
            _signed(mean(gains)) if len(gains) == len(runs) else "",
            _nearer(runs, before) if strategy != base else "",
            f"{mean(run.trained for run in runs) / 1e3:,.0f} k",
            f"{mean(run.deployed for run in runs) / 1e3:,.0f} k",
            f"{mean(counted):.3g}" if counted else "",
            f"{mean(run.seconds for run in runs):,.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    says = (
        f"Test errors; Δm and p (one-sided Mann–Whitney U, uncorrected: ↓ lower, ↑ higher) against "
        f"`{base}`; parameters trained and needed at the end, GMACs of a step, seconds of a run."
    )
    return "\n".join([*lines, "", says])


def _nearer(runs: Sequence[Measured], before: Sequence[Measured]) -> str:
    """Return p that the one with the smaller mean is smaller, with a sign for which it is."""
    own, other = [run.test for run in runs], [run.test for run in before]
    if min(len(own), len(other)) < _SEEDS_FOR_A_TEST:
        return ""
    ahead = mean(own) < mean(other)
    p = less_p(own, other) if ahead else less_p(other, own)
    return f"{'↓' if ahead else '↑'} {p:.2g}"


def _change(runs: Sequence[Measured], base: Sequence[Measured]) -> list[str]:
    before = {run.seed: run.test for run in base}
    pairs = [(run.test, before[run.seed]) for run in runs]
    change = mean(after - former for after, former in pairs)
    return [f"{change:+.2f}".replace("-", "−"), f"{sum(a < b for a, b in pairs)} of {len(pairs)}"]


def _tests(groups: dict[str, list[Measured]]) -> str:
    errors = {name: [run.test for run in runs] for name, runs in groups.items()}
    tested = [name for name, found in errors.items() if len(found) >= _SEEDS_FOR_A_TEST]
    pairs = list(permutations(tested, 2))
    if not pairs:
        return "Too few runs for a test."
    corrected = holm([less_p(errors[better], errors[other]) for better, other in pairs])
    found = [
        f"{better} < {other} (p = {p:.2g})"
        for (better, other), p in zip(pairs, corrected, strict=True)
        if p < 0.05
    ]
    says = f"One-sided Mann–Whitney U, Holm-corrected over all {len(pairs)} ordered pairs"
    return f"{says}, below 0.05: {'; '.join(found)}." if found else f"{says}: none is below 0.05."


def _signed(value: float) -> str:
    """Write a number with its sign, and nothing as +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def _spread(values: Sequence[float]) -> str:
    found = spread(values)
    assert found is not None
    return f"{found.mean:.2f}" + ("" if found.sd is None else f" ± {found.sd:.2f}")


def written(page: str) -> str:
    """Return a page with its tables as the files have them."""

    def block(found: re.Match[str]) -> str:
        begin, name, how, base, only, end = found.groups()
        rows = read(name)
        made = costs(rows, base, only) if how == "against" else table(rows, base, only)
        return f"{begin}{made}\n{end}"

    return MARKS.sub(block, page)


def write_pages() -> None:
    """Write every table that stands between marks."""
    for page in PAGES.rglob("*.md"):
        if (text := written(page.read_text())) != page.read_text():
            write_text(page, text)


def main() -> None:
    """Take runs in, if asked to; then write all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("add", nargs="*", help="add NAME FOLDER...")
    words = parser.parse_args().add
    if words:
        if words[0] != "add" or len(words) < 3:
            parser.error("the command is: add NAME FOLDER...")
        try:
            add(words[1], [Path(word) for word in words[2:]])
        except ContradictionError as error:
            sys.exit(str(error))
    write_pages()


if __name__ == "__main__":
    main()
