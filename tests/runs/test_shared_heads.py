"""Tasks with equal outputs may use one head, by an option of the run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.command import status

import mtl_framework
from mtl_framework.export import export_network, load_network
from mtl_framework.support.yamls import dump_yaml

NARROW = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
SETTINGS: dict[str, Any] = {
    "strategy": {"name": "lws", "nes_samples": 2, "weight_samples": 1},
    "suite": "digits",
    "backbone": "dkl_convnet",
    "shared_heads": [["odd", "large"]],
    "batch_size": 4,
    "iterations": 2,
    "eval_every": 2,
    "device": "cpu",
}


@pytest.mark.long
def test_a_run_whose_tasks_share_a_head_is_resumed_loaded_and_exported(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    mtl_framework.run(config=SETTINGS, output=whole, progress=False)
    mtl_framework.run(config=SETTINGS, output=parts, progress=False, iterations=1)
    mtl_framework.run(output=parts, resume=True, progress=False, iterations=2)
    runs: list[Any] = [mtl_framework.load_run(folder) for folder in (whole, parts)]
    for run in runs:
        assert run.network.heads[1] is run.network.heads[2] is not run.network.heads[0]
    states = [run.network.state_dict() for run in runs]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    for task in ("odd", "large"):
        export_network(runs[0], task, tmp_path / task)
        prepared = runs[0].preprocessings[runs[0].suite.index(task)](images)
        torch.testing.assert_close(
            load_network(tmp_path / task)(prepared), runs[0].outputs(task, images)
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shared_heads": [["odd", "digit"]]}, "'digit' and 'odd' cannot share a head: they are"),
        ({"shared_heads": [["odd", "larg"]]}, "did you mean 'large'"),
        ({"shared_heads": [["odd"]]}, "needs at least two tasks"),
        ({"shared_heads": [["odd", "large", "odd"]]}, "names task 'odd' twice"),
        ({"strategy": "pta"}, "tasks 'odd' and 'large' share a head; several decoders"),
        (
            {"strategy": "muir", "backbone": {"name": "resnet18", "args": NARROW}},
            "'muir' cannot let tasks share",
        ),
        (
            {"strategy": "no_sharing", "task_backbones": {"odd": "lenet"}},
            "'no_sharing' cannot let tasks share",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused_in_a_line(
    change: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml({**SETTINGS, **change}))
    assert status("run", "--config", file, "--output", tmp_path / "run") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert reason in " ".join(error.split())
    assert not (tmp_path / "run").exists()
