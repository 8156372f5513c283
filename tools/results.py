"""Runs the comparisons that docs/results.md reports, and writes their tables into it.

    python tools/results.py --data-root DATA          all of them (hours on two cores; resumes)
    python tools/results.py --data-root DATA dkl      one, or those whose names contain the word
    python tools/results.py --tables                  only write tables of what has been run
    python tools/results.py --data-root DATA --smoke  all of them with a few steps of one seed, to
                                                      see that they run; nothing is written here

A table stands between the marks ``<!-- table: NAME -->`` and ``<!-- end -->``; the text around it
is written by hand. Where the page has ``<!-- seeds: NAME -->`` instead, the comparison's runs are
kept one by one, and seeds are added to those that are there (tools/measured.py). A comparison with
a run that contradicts a kept one changes nothing; the others go on, and the exit status is 1.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measured

from mtl_framework.support.files import write_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
EXAMPLES = ROOT / "examples"
CONFIGS = {
    path.stem: path
    for path in (
        *(EXAMPLES / "paper").glob("*.yaml"), EXAMPLES / "scenes.yaml", EXAMPLES / "recipe.yaml",
    )
}  # fmt: skip
SMOKE = ["--seeds", "1", "--iterations", "2"]


def names(words: Sequence[str]) -> list[str]:
    """The comparisons, by name of their config, that contain one of the words."""
    found = sorted(CONFIGS)
    exact = [name for name in found if name in words]
    return exact or [name for name in found if not words or any(word in name for word in words)]


def run(name: str, folder: Path, data_root: Path | None, options: Sequence[str]) -> None:
    """``mtl compare`` of one config; what is finished is not run again."""
    command = [str(Path(sys.executable).with_name("mtl")), "compare", str(CONFIGS[name])]
    reads_files = re.search(r"^\s*path:", CONFIGS[name].read_text(), re.MULTILINE)
    if reads_files or "muir_synthetic" in name:
        if data_root is None:
            sys.exit(f"{name} reads data: name its folder with --data-root")
        command += ["--data-root", str(data_root)]
    subprocess.run([*command, "--output", str(folder), *options], check=True)


def table(folder: Path) -> str:
    """Markdown of all groups of a finished comparison."""
    content = json.loads((folder / "comparison.json").read_text())
    measured = {
        (row["suite"], row["backbone"], strategy["strategy"]): strategy["seconds"]
        for row in content["measured"]["groups"]
        for strategy in row["strategies"]
    }
    groups = [g for g in content["groups"] if any(row["done"] for row in g["strategies"])]
    metrics = json.loads((folder / content["runs"][0]["directory"] / "result.json").read_text())
    parts = [_group(group, measured, metrics["metrics"]) for group in groups]
    if not parts:
        return "Not run yet."
    versions = {json.dumps(row["versions"], sort_keys=True) for row in content["measured"]["runs"]}
    iterations = sorted({row["iterations"] for row in content["runs"]})
    shown = " · ".join(
        ", ".join(
            f"{key} {value}" for key, value in json.loads(v).items() if key in ("torch", "timm")
        )
        for v in sorted(versions)
    )
    parts.append(f"Iterations: {', '.join(map(str, iterations))}. {shown}.")
    return "\n\n".join(parts)


def _group(
    group: dict[str, Any], measured: dict[tuple[str, str, str], Any], metrics: dict[str, str]
) -> str:
    tasks = group["tasks"] if len(group["tasks"]) <= 6 else []
    mixed = group["unit"] == "mixed"  # tasks with metrics, and mostly networks, of their own
    title = f"**{group['suite']}, {group['backbone']}** ({group['unit']})"
    columns = ["strategy", "seeds", "mean of tasks", "all examples", *tasks]
    if mixed:
        title = f"**{group['suite']}{f', {of}' if (of := group['backbone']) else ''}**"
        columns[2:] = [f"{task} ({metrics[task]})" for task in tasks]
        columns += ["Δm %", "Δm % of all metrics"] if group["baseline"] else []
    columns += ["parameters at the end", "seconds a run"]
    lines = [title, "", "| " + " | ".join(columns) + " |"]
    lines.append("|---|" + "---:|" * (len(columns) - 1))
    for row in group["strategies"]:
        if not row["done"]:
            continue
        cells = [f"**{row['strategy']}**" if row["best"] else row["strategy"], str(row["done"])]
        if not mixed:
            cells += [_spread(row["error_mean"]), _spread(row["error_pooled"])]
        cells += [_spread(row["per_task"].get(task)) for task in tasks]
        if mixed and group["baseline"]:
            cells += [_spread(row["delta_m"]), _spread(row["delta_m_all"])]
        cells.append(_count(row["deployed"]))
        seconds = measured[group["suite"], group["backbone"], row["strategy"]]
        cells.append(_count(seconds))
        lines.append("| " + " | ".join(cells) + " |")
    tests = [pair for pair in group["tests"] if pair["p_holm"] < 0.05]
    if tests:
        found = "; ".join(
            f"{pair['better']} < {pair['other']} (p = {pair['p_holm']:.2g})" for pair in tests
        )
        lines += ["", f"One-sided Mann–Whitney U, Holm-corrected, below 0.05: {found}."]
    elif min(row["done"] for row in group["strategies"]) < 4:
        lines += ["", "Too few runs for a test."]
    elif group["tests"]:
        lines += ["", "No difference is significant (one-sided Mann–Whitney U, Holm-corrected)."]
    if mixed:
        lines += _all_metrics(group)
    for learned in group.get("controls") or []:
        lines += ["", *_controls(learned)]
    return "\n".join(lines)


def _all_metrics(group: dict[str, Any]) -> list[str]:
    """A table of every metric of tasks that have several, a row each; no lines if none has."""
    rows = [row for row in group["strategies"] if row["done"]]
    several = {task: list(found) for task, found in rows[0]["metrics"].items() if len(found) > 1}
    if not several:
        return []
    head = ["task", "metric", *(row["strategy"] for row in rows)]
    lines = ["", "| " + " | ".join(head) + " |", "|---|---|" + "---:|" * len(rows)]
    for task, labels in several.items():
        for label in labels:
            cells = [_spread(row["metrics"].get(task, {}).get(label)) for row in rows]
            lines.append("| " + " | ".join([task, label, *cells]) + " |")
    return lines


def _controls(learned: dict[str, Any]) -> list[str]:
    """A table of one strategy's controls, and what its tests say."""
    lines = [f"Controls of {learned['strategy']}:", "", "| runs are | runs | mean of tasks |"]
    lines.append("|---|---:|---:|")
    lines += [
        f"| {row['kind']} | {row['done']} | {_spread(row['error'])} |" for row in learned["rows"]
    ]
    answers = "; ".join(
        f"{asked['better']} < {asked['other']}: p = {asked['p_holm']:.2g}"
        for asked in learned["questions"]
    )
    return [*lines, "", f"One-sided Mann–Whitney U, Holm-corrected over these: {answers}."]


def _spread(found: Any) -> str:
    if found is None:
        return ""
    if found.get("sd") is None:
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} ± {found['sd']:.2f}"


def _count(found: Any) -> str:
    return "" if found is None else f"{found['mean']:,.0f}"


def insert(name: str, text: str) -> None:
    """Put a table between its marks on the page."""
    page = PAGE.read_text()
    marks = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(page):
        sys.exit(f"{PAGE.name} has no place for the table of {name}")
    write_text(PAGE, marks.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page))


def keep(name: str, folder: Path) -> None:
    """Put a finished comparison on the page: as a table, or run by run."""
    if f"<!-- seeds: {name} -->" in PAGE.read_text():
        measured.add(name, [folder])
        measured.write_pages()
    else:
        insert(name, table(folder))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs") / "results")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    contradicted = []
    for name in names(options.words):
        folder = options.output / name
        if not options.tables:
            extra = ["--workers", str(options.workers), *(SMOKE if options.smoke else [])]
            run(name, folder, options.data_root, extra)
        if options.smoke:
            print(table(folder), flush=True)
        elif (folder / "comparison.json").exists():
            try:
                keep(name, folder)
            except measured.ContradictionError as error:
                contradicted.append(str(error))
    if contradicted:
        sys.exit("\n".join(contradicted))


if __name__ == "__main__":
    main()
