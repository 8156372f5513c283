"""The assignment over time: written down while training, drawn in the report."""

import json
from pathlib import Path

import pytest
from mtl_lws import mtl_figures
from mtl_lws.strategy import LearnedWeightSharing
from support.tiny import TinyPlugins, start

from mtl_framework.networks.result import Result
from mtl_framework.runs.records import RunRecord

LWS = {"name": "lws", "nes_learning_rate": 0.5, "nes_samples": 4, "weight_samples": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lws") / "run"
    start(folder, TinyPlugins(lws=LearnedWeightSharing), strategy=LWS).execute()
    return folder


def record(folder: Path, strategy: str = "lws 0.5", seed: int = 0) -> RunRecord:
    return RunRecord(strategy, "tiny", "tiny", seed, folder, 6, "done", Result.load(folder))


def test_the_assignment_is_written_down_at_every_logged_step(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    written = [line["metrics"]["assignment"] for line in lines if "metrics" in line]
    assert len(written) == 6
    last = Result.load(finished).assignment
    assert last is not None
    assert written[-1] == [list(row) for row in last.weights]


def test_one_figure_for_every_setting(finished: Path) -> None:
    runs = [record(finished, seed=1), record(finished), record(finished, "other")]
    found = list(mtl_figures(runs=runs))
    assert [figure.name for figure in found] == ["lws-0-5-assignment", "other-assignment"]
    assert "Seed 0" in found[0].caption
    (axes,) = found[0].figure.axes
    units = Result.load(finished).assignment.units  # type: ignore[union-attr]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"{unit}  {task}" for unit in units for task in ("rows", "sides")]
    assert not list(mtl_figures(runs=[]))
