"""Run folders, a comparison and an export that earlier code wrote keep their meaning.

``tests/fixtures/before_rooms.tar.xz`` was written by the code of commit 199b453, before the package
was cut into rooms, on one thread: runs of four strategies after six iterations, a comparison, an
export, images, and in ``expected`` what that code then said of them. Metrics, assignments and
choices have to come back exactly, probabilities and losses to the rounding of another CPU's
kernels.

The tasks of these runs (suite ``alphabets``) have inputs of their own, so that the rule of counting
rows that several tasks share once in running averages does not concern them.
"""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from support.typed import stored

from mtl_framework.cli import main
from mtl_framework.export import load_network
from mtl_framework.runs.load import load_run

ROUNDING = 1e-6 if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 14) else 1e-4
FIXTURE = Path(__file__).parents[1] / "fixtures" / "before_rooms.tar.xz"
RUNS = ["lws", "no_sharing", "cross_stitch", "pta"]
MEASURED = {"seconds", "seconds_per_iteration", "peak_memory", "versions", "threads", "size"}
COMPARISON = """\
backbone: {name: resnet10t, args: {channels: [4, 4, 6, 8], stem_width: 4}}
suite: {name: alphabets, tasks: [digits, greek]}
strategies:
  # what is null, and what is said of lws, were the defaults at the time
  - {name: full_sharing, initialization: null}
  - {name: lws, weights_per_unit: 2, initialization: null, weight_samples: 8,
     nes_learning_rate: 0.01, credit: joint, search_data: 0, nes_schedule: constant,
     shared_start: 0, freeze_after: 1}
seeds: 2
iterations: 4
eval_every: 2
batch_size: 4
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command prints on stdout, once it has ended well."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    assert caught.value.code == 0, output.err
    return output.out


def assert_same(value: Any, expected: Any, where: str = "") -> None:
    """Equal in everything that was there before; numbers to rounding, what is measured not.

    Trained steps are rounded otherwise before torch 2.14, which wrote the fixture.
    """
    if isinstance(expected, dict):
        for key, item in expected.items():
            if key not in MEASURED:
                assert_same(value[key], item, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(value) == len(expected), where
        for number, (mine, item) in enumerate(zip(value, expected, strict=True)):
            assert_same(mine, item, f"{where}/{number}")
    elif isinstance(expected, float):
        assert value == pytest.approx(expected, rel=ROUNDING), where
    else:
        assert value == expected, where


@pytest.mark.parametrize("run", RUNS)
def test_a_run_predicts_and_evaluates_as_before(before: Path, run: str) -> None:
    loaded = load_run(before / run)
    files = sorted((before / "images").iterdir())
    outputs = loaded.predict("digits", loaded.preprocessings[0].read(files)).double().softmax(1)
    predicted = [
        {"image": f"images/{file.name}", "class": str(int(row.argmax())), "probability": max(row)}
        for file, row in zip(files, outputs.numpy(), strict=True)
    ]
    expected = json.loads((before / "expected" / f"{run}-predict.json").read_text())
    assert_same(predicted, expected)
    table = (before / "expected" / f"{run}-evaluate.txt").read_text().splitlines()
    splits = loaded.evaluate().splits
    for line in table[1:-1]:
        task, _, _, *cells = line.split()
        values = [f"{splits[name].per_task[task]:.2f}" for name in ("validation", "test")]
        assert [cells[0], cells[2]] == values
        for split, cell in (("validation", cells[1]), ("test", cells[3])):
            assert splits[split].loss_per_task[task] == pytest.approx(float(cell), abs=6e-5)


def test_what_validation_preferred_is_as_before(before: Path) -> None:
    result = json.loads((before / "cross_stitch" / "result.json").read_text())
    best = load_run(before / "cross_stitch", which="best")
    assert best.iteration == result["best"]["iteration"] == 3
    for split in ("validation", "test"):
        assert best.evaluate().splits[split].per_task == result["best"][split]["per_task"]


@pytest.mark.parametrize("run", RUNS)
def test_a_run_goes_on_as_before(
    before: Path, tmp_path: Path, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(before / run, tmp_path / run)
    said(capsys, "run", "--resume", "--output", tmp_path / run, "--iterations", "9")
    expected = json.loads((before / "expected" / f"{run}-resumed.json").read_text())
    assert_same(json.loads((tmp_path / run / "result.json").read_text()), expected)
    lines = (tmp_path / run / "metrics.jsonl").read_bytes().splitlines()
    assert lines[:5] == (before / run / "metrics.jsonl").read_bytes().splitlines()[:5]


def test_a_comparison_is_done_as_before(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(before / "cmp", tmp_path / "cmp")
    expected = json.loads((before / "cmp" / "comparison.json").read_text())
    (tmp_path / "cmp.yaml").write_text(COMPARISON)
    command = "compare", tmp_path / "cmp.yaml", "--output", tmp_path / "cmp"
    assert "nothing is left to run" in said(capsys, *command, "--dry-run")
    said(capsys, *command)
    again = json.loads((tmp_path / "cmp" / "comparison.json").read_text())
    assert again["measured"] == expected["measured"]
    assert_same(again, expected)


def test_a_comparison_is_reported_as_before(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(before / "cmp", tmp_path / "cmp")
    table = said(capsys, "report", tmp_path / "cmp", "--output", tmp_path / "page")
    for strategy in ("full_sharing", "lws"):
        assert strategy in table
    assert "93.05" in table  # the mean of full sharing, as the comparison said it then
    assert (tmp_path / "page" / "report.html").stat().st_size > 10_000


def test_an_export_loads_as_before(before: Path) -> None:
    network = load_network(before / "exp" / "digits")
    run = load_run(before / "lws")
    images = stored(run.suite.tasks[0].test)[:20]
    with torch.no_grad():
        exported = network(run.preprocessings[0](images))
    torch.testing.assert_close(exported, run.predict("digits", images), rtol=1e-5, atol=1e-5)
