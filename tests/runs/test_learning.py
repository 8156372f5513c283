"""Learned sharing learns on the default suite's real and drawn characters."""

from pathlib import Path

import pytest

from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.run import Run


@pytest.mark.long
def test_learned_sharing_is_clearly_better_than_chance_on_alphabets(tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {
            "strategy": {
                "name": "lws",
                "nes_learning_rate": 0.3,
                "credit": "task",
                "weight_samples": 4,
            },
            "backbone": {"name": "dkl_convnet"},
            "suite": {"name": "alphabets", "tasks": ["digits", "latin"]},
            "iterations": 150,
            "eval_every": 150,
            "device": "cpu",
        }
    )
    result = Run.start(config, Plugins.load(), tmp_path / "run").execute()
    # chance: 90 % of the digits and 96 % of the letters wrong
    assert result.test.per_task["digits"] < 45
    assert result.test.per_task["latin"] < 65
