"""Tables that are made from docs/measured/ are what its files say."""

import csv
import json
from pathlib import Path
from types import ModuleType

import pytest
from support.programs import load_program

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    module: ModuleType = load_program(ROOT / "tools" / "measured.py")
    return module


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """A comparison of two strategies with five seeds, of which one run has not been made."""
    lines = ["suite,backbone,strategy,seed,state,metric,split,task,value,directory"]
    for strategy, start in (("low", 10.0), ("high", 20.0)):
        for seed in range(5):
            lines.append(f"s,b,{strategy},{seed},done,,,,,runs/{strategy}{seed}")
            if (strategy, seed) == ("high", 4):
                continue
            folder = tmp_path / "runs" / f"{strategy}{seed}"
            folder.mkdir(parents=True)
            errors = {"error_mean": start + seed, "per_task": {"a": start, "b": start + 2 * seed}}
            result = {
                "validation": {"error_mean": 1.0}, "test": errors, "seconds": 2.4,
                "parameters": {"trained": 30, "deployed": 20},
            }  # fmt: skip
            (folder / "result.json").write_text(json.dumps(result))
    (tmp_path / "comparison.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_table_is_what_its_file_says(measured: ModuleType, page: Path) -> None:
    assert measured.written(page.read_text()) == page.read_text()


def test_every_file_has_a_table(measured: ModuleType) -> None:
    named = {found[2] for page in PAGES for found in measured.MARKS.finditer(page.read_text())}
    assert named == {file.stem for file in measured.FOLDER.glob("*.csv")}


def test_means_and_tests_are_those_of_the_runs(measured: ModuleType, comparison: Path) -> None:
    table = measured.table(measured.runs_of(comparison), None, None)
    # 10..14 and 20..23: of C(9, 5) orders one is as good, times two ordered pairs
    assert "| low | 5 | 1.0 | 12.00 ± 1.58 | 20 |" in table
    assert "| high | 4 | 1.0 | 21.50 ± 1.29 | 20 |" in table
    assert "over all 2 ordered pairs, below 0.05: low < high (p = 0.016)." in table


def test_rows_are_set_against_one_seed_by_seed(measured: ModuleType, comparison: Path) -> None:
    table = measured.table(measured.runs_of(comparison), "high", "hi.*|low")
    # of the four seeds that both have
    assert "| low | 4 | 1.0 | 11.50 ± 1.29 | 20 | −10.00 | 4 of 4 |" in table
    assert "Mann" not in table
    with pytest.raises(SystemExit, match="the row 'none' is not among low, high"):
        measured.table(measured.runs_of(comparison), "none", None)


def test_a_file_is_of_one_suite(measured: ModuleType, comparison: Path) -> None:
    with (comparison / "comparison.csv").open("a") as file:
        file.write("other,b,low,0,done,,,,,runs/low0\n")
    with pytest.raises(SystemExit, match="has several suites or backbones"):
        measured.runs_of(comparison)


def test_seeds_are_added_and_nothing_is_replaced(
    measured: ModuleType, comparison: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "measured")
    measured.add("mine", [comparison])
    before = measured.read("mine")
    assert [(row.strategy, row.seed) for row in before[3:7]] == [
        ("low", 3), ("low", 4), ("high", 0), ("high", 1),
    ]  # fmt: skip
    measured.add("mine", [comparison])  # the same again is no other
    assert measured.read("mine") == before
    with (tmp_path / "measured" / "mine.csv").open(newline="") as file:
        assert [row["test"] for row in csv.DictReader(file)][:2] == ["10.0", "11.0"]
    file_of = comparison / "runs" / "low1" / "result.json"
    file_of.write_text(file_of.read_text().replace("11.0", "11.5"))
    with pytest.raises(measured.ContradictionError, match="mine: low, seed 1 is there with"):
        measured.add("mine", [comparison])
    assert measured.read("mine") == before


def test_what_runs_do_not_have_is_left_out(measured: ModuleType, comparison: Path) -> None:
    for file in comparison.glob("runs/*/result.json"):
        result = {**json.loads(file.read_text()), "validation": None, "macs": 2_500_000_000.0}
        file.write_text(json.dumps(result))
    table = measured.table(measured.runs_of(comparison), None, None)
    assert "| strategy | seeds | error % | parameters at the end | GMACs a step |" in table
    assert "| low | 5 | 12.00 ± 1.58 | 20 | 2.5 |" in table


def test_a_file_gives_back_what_was_put_into_it(
    measured: ModuleType, comparison: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = next(comparison.glob("runs/low*/result.json"))
    result = {**json.loads(file.read_text()), "validation": None, "macs": 7.0}
    file.write_text(json.dumps(result))
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "kept")
    measured.add("some", [comparison])
    key = lambda run: (run.strategy, run.seed)  # noqa: E731
    assert sorted(measured.read("some"), key=key) == sorted(measured.runs_of(comparison), key=key)


def test_costs_and_gains_against_a_row(measured: ModuleType, comparison: Path) -> None:
    table = measured.costs(measured.runs_of(comparison), "high", None).splitlines()
    # task a: 10 against 20; task b: 10, 12, 14, 16, 18 against 23, the mean of 20, 22, 24, 26
    gain = (50 + 100 * (23 - 14) / 23) / 2
    row = f"| low | 5 | 12.00 ± 1.58 | +{gain:.1f} | ↓ 0.0079 | 0 k | 0 k |  | 2 |"
    assert table[2] == row
    assert table[3] == "| high | 4 | 21.50 ± 1.29 | +0.0 |  | 0 k | 0 k |  | 2 |"
    with pytest.raises(SystemExit, match="the row 'none' is not among low, high"):
        measured.costs(measured.runs_of(comparison), "none", None)


def test_tasks_are_added_to_runs_that_were_kept_without(
    measured: ModuleType, comparison: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "kept")
    for file in comparison.glob("runs/*/result.json"):
        saved = file.read_text()
        file.with_suffix(".before").write_text(saved)
        result = json.loads(saved)
        result["test"]["per_task"] = {}
        file.write_text(json.dumps(result))
    measured.add("mine", [comparison])
    assert all(not run.tasks for run in measured.read("mine"))
    for file in comparison.glob("runs/*/result.before"):
        file.replace(file.with_suffix(".json"))
    measured.add("mine", [comparison])
    assert [run.tasks for run in measured.read("mine")][1] == {"a": 10.0, "b": 12.0}


def test_who_shares_what_is_kept_by_letters(measured: ModuleType, comparison: Path) -> None:
    file = comparison / "runs" / "low0" / "result.json"
    weights = {"units": ["one", "two"], "tasks": ["a", "b", "c"], "weights": [[4, 0, 4], [2, 2, 1]]}
    file.write_text(json.dumps({**json.loads(file.read_text()), "assignment": weights}))
    assert [run.sharing for run in measured.runs_of(comparison)][:2] == ["aba aab", ""]
    many = {**weights, "weights": [[0, 1, 2]] * 9}
    file.write_text(json.dumps({**json.loads(file.read_text()), "assignment": many}))
    assert measured.runs_of(comparison)[0].sharing == ""
