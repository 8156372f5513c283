"""The commands that use a saved run work for strategies that share by other than whole weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mtl_framework import run
from mtl_framework.cli import main
from mtl_framework.networks.result import Result
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.load import load_run

LEARNED = {"kind": "low_rank", "rank": 2, "assignment": "learned", "trunk": "trained"}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "cross_stitch": ("cross_stitch", {}),
    "sluice": ("sluice", {}),
    "nddr": ("nddr", {}),
    "soft_ordering": ("soft_ordering", {}),
    "routing by reinforcement": ("routing_networks", {}),
    "routing by gradients": ("routing_networks", {"router": "gumbel"}),
    "adapters in series": ("adapters", {"kind": "series"}),
    "learned adapters": ("adapters", LEARNED),
    "fafs": ("fafs", {"alpha": 1e6, "stall": 1}),
    "recon": ("recon", {"measure": 0.5, "every": 1}),
    "task_grouping": ("task_grouping", {"measure": 0.5, "every": 1}),
}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    """What a command prints as JSON; it has to succeed."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in (*arguments, "--json")])
    assert caught.value.code == 0
    return json.loads(capsys.readouterr().out)


QUICK = ("fafs", "learned adapters")


@pytest.mark.parametrize(
    ("named", "precision"),
    [
        pytest.param(name, kind, marks=[] if kind == "fp32" and name in QUICK else pytest.mark.long)
        for name in RUNS
        for kind in ("fp32", "bf16")
    ],
)
def test_a_saved_run_predicts_and_is_evaluated_again(
    named: str, precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy, options = RUNS[named]
    torch.manual_seed(0)
    result = run(
        strategy, "dkl_convnet", "digits", output=tmp_path / "run", device="cpu", progress=False,
        iterations=5, eval_every=5, batch_size=8, precision=precision, **options,
    )  # fmt: skip
    again = printed(capsys, "evaluate", tmp_path / "run")["splits"]["test"]
    assert again["per_task"] == pytest.approx(result.test.per_task, rel=1e-6)
    assert Result.load(tmp_path / "run").test.per_task == pytest.approx(result.test.per_task)
    loaded = load_run(tmp_path / "run", plugins=Plugins.load())
    image = (torch.arange(64).view(8, 8) * 4).to(torch.uint8).numpy()
    Image.fromarray(image).save(tmp_path / "a.png")
    rows = printed(capsys, "predict", tmp_path / "run", tmp_path / "a.png", "--all-tasks")
    assert [row["task"] for row in rows] == list(loaded.suite.task_names)
    inputs = loaded.preprocessing.read([tmp_path / "a.png"])
    for task, row in enumerate(rows):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            scores = loaded.extract(task)(inputs).float()
        if scores.shape[1] == 1:  # of yes; that of no is zero
            scores = torch.cat([torch.zeros_like(scores), scores], 1)
        same = {"fp32": 1e-4, "bf16": 5e-3}[precision]  # what paths compute together is rounded
        assert row["probability"] == pytest.approx(float(scores.softmax(1).max()), rel=same)
