"""`mtl run --dry-run` and `--json-lines`: what they print, and what they leave alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support.tiny import TinyPlugins, start, tiny_config

from mtl_framework import MtlError, dry_run
from mtl_framework.cli import main
from mtl_framework.runs.dry_run import Preview
from mtl_framework.runs.load import load_run

TINY = ["--suite", "digits", "--backbone", "dkl_convnet", "--set", "suite.size=12"]
FULL = ["run", "--strategy", "full_sharing", "--device", "cpu", "--iterations", "20", *TINY]


def state() -> list[Any]:
    numpy_state: Any = np.random.get_state()
    # not python's: the checker of shapes draws from it in the tests' own process
    return [torch.get_rng_state().tolist(), numpy_state[1].tolist()]


def test_it_shows_what_a_run_would_be_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = state()
    with pytest.raises(SystemExit) as ended:
        main([*FULL, "--dry-run"])
    assert ended.value.code == 0
    assert state() == before
    assert not list(tmp_path.iterdir())
    head, _, rest = capsys.readouterr().out.partition("\n\n")
    assert yaml.safe_load(head)["strategy"]["name"] == "full_sharing"
    assert yaml.safe_load(head)["iterations"] == 20
    assert "data: digit: 10 classes, 1077 train, 360 validation, 360 test" in rest
    assert "unit 4: dense, 4,224" in rest
    assert "parameters: 24,684 trained" in rest
    assert "estimate from 3 steps on cpu:" in rest
    assert "for 20 without evaluations" in rest
    assert "folder: runs/digits-full_sharing-dkl_convnet-s0" in rest
    for wrong in (["--resume"], ["--json", "--json-lines"]):
        with pytest.raises(SystemExit) as ended:
            main([*FULL, "--dry-run", *wrong])
        assert ended.value.code == 2


def test_the_steps_are_those_of_the_run_and_change_nothing_of_it(tmp_path: Path) -> None:
    told: list[int] = []

    class Plugin(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            told.append(1)

    values = tiny_config().model_dump()
    torch.manual_seed(3)
    shown = dry_run(config=values, plugins=Plugin())
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))
    assert isinstance(shown, Preview)
    assert not told
    assert len(shown.seconds) == 3
    assert shown.total_seconds == shown.seconds_per_iteration * 6
    start(tmp_path / "r").execute()
    counts = load_run(tmp_path / "r", plugins=TinyPlugins()).network.parameter_counts()
    assert shown.parameters == counts
    assert len(repr(shown)) < 200
    assert "unit 1: low" in shown._repr_html_()
    short = dry_run(config={**values, "iterations": 2}, plugins=TinyPlugins())
    assert len(short.seconds) == 2
    with pytest.raises(MtlError, match="iterations should be greater"):
        dry_run(config={**values, "iterations": 0}, plugins=TinyPlugins())


def test_a_program_can_read_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*FULL, "--iterations", "2", "--set", "log_every=1", "--json-lines", "--quiet",
              "--output", "r"])  # fmt: skip
    assert ended.value.code == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.pop("event") for line in lines] == [
        "started", "step", "step", "evaluation", "finished",
    ]  # fmt: skip
    assert lines[0]["directory"] == "r"
    written = [json.loads(line) for line in Path("r/metrics.jsonl").read_text().splitlines()]
    for shown, line in zip(lines[1:4], written, strict=True):
        for both in (shown, line):
            both.pop("seconds")
        assert shown == line
    assert lines[-1]["result"] == json.loads(Path("r/result.json").read_text())
