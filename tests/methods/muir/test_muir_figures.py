"""Figures of a run of muir, and what they count."""

from pathlib import Path

import pytest
import torch
from mtl_muir.report.figures import figures
from mtl_muir.report.usage import Places, count_by_users, kinds, users
from support.muir_runs import run_of

from mtl_framework.reports.figure import png
from mtl_framework.runs.records import RunRecord
from mtl_framework.runs.run import Result

# -- runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("kinds") / "run"
    run_of(folder, keys={"iterations": 8}).execute()
    return folder


# -- figures ------------------------------------------------------------------------------------


def record(folder: Path, label: str = "muir") -> RunRecord:
    result = Result.load(folder / "result.json")
    return RunRecord(label, "s", "b", 0, folder, result.iterations, "done", result)


@pytest.mark.long
def test_figures_of_a_run(tmp_path: Path, finished: Path) -> None:
    run_of(tmp_path / "a", "groups", keys={"iterations": 60, "log_every": 20}).execute()
    found = figures([record(finished), record(tmp_path / "a", "on lines")])
    assert [figure.name for figure in found] == [
        "muir-modules", "muir-layers", "muir-generic",
        "on-lines-modules", "on-lines-alignment", "on-lines-generic",
    ]  # fmt: skip
    for figure in found:
        assert len(png(figure.figure)) > 5000
    assert figures([]) == []


def test_modules_are_counted_by_their_users() -> None:
    mapping = torch.tensor([0, 0, 2, 2, 4])
    tasks = torch.tensor([0, 1, 1, 1, 2])
    used = users(mapping, tasks, 5)
    assert used.sum(1).tolist() == [2, 0, 1, 0, 1]
    names = kinds(("a", "b", "c"))
    found = dict(zip(names, count_by_users(used).tolist(), strict=True))
    assert found == {"a": 0, "b": 1, "a + b": 1, "c": 1, "a + c": 0, "b + c": 0, "a + b + c": 0}
    many = users(torch.zeros(7, dtype=torch.int64), torch.arange(7), 7)
    assert count_by_users(many).tolist() == [0] * 6 + [1]
    assert kinds("abcdefg")[:2] == ["1 task", "2 tasks"]


def test_places_know_their_locations() -> None:
    places = Places((("a", "x", 2), ("b", "y", 1), ("b", "z", 3)))
    assert places.tasks_of_locations().tolist() == [0, 0, 1, 1, 1, 1]
    assert places.weights_of_locations().tolist() == [0, 0, 1, 2, 2, 2]
    assert Places.from_state(places.state_dict()) == places
