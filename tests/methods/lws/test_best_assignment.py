"""A run that learns an assignment keeps the one that its best networks had."""

from pathlib import Path

import pytest

import mtl_framework
from mtl_framework.networks.assignment import Assignment
from mtl_framework.networks.result import Result


def test_the_assignment_of_the_best_networks_is_kept(tmp_path: Path) -> None:
    settings = {
        "strategy": {"name": "lws", "preset": "paper", "nes_samples": 4, "weight_samples": 2,
                     "nes_learning_rate": 1.0},
        "backbone": "dkl_convnet",
        "suite": {"name": "digits", "size": 8},
        "eval_every": 1,
        "batch_size": 4,
        "seed": 3,
        "device": "cpu",
    }  # fmt: skip
    out = tmp_path / "run"
    mtl_framework.run(config=settings, iterations=4, output=out, progress=False)
    mtl_framework.run(iterations=8, output=out, resume=True, progress=False)
    result = Result.load(out)
    assert result.best is not None
    kept = {}
    for which in ("last", "best"):
        sharing = mtl_framework.load_run(out, which=which).network.sharing()
        assert sharing is not None
        kept[which] = Assignment.of(sharing)
    assert result.assignment == kept["last"]
    assert result.best.assignment == kept["best"]
    if result.best.iteration == result.iterations:
        pytest.skip("the best networks are the last ones with this version of torch")
    assert kept["best"] != kept["last"]
