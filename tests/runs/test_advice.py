"""What a run says about another one."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from support.tiny import start, tiny_config
from torch import nn

from mtl_framework.runs.advice import average_hints, precision_hints
from mtl_framework.support.devices import multiplies_bf16

CPU = torch.device("cpu")
ABLE = [{"avx512_bf16": True, "amx_bf16": False}, {"amx_bf16": True}]
UNABLE: list[dict[str, bool]] = [{"avx512_bf16": False, "avx512_f": True}, {}]


def has(monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, Any]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def wide() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 256, 3), nn.Conv2d(256, 512, 3), nn.Linear(512, 256))


@pytest.mark.parametrize("capabilities", ABLE)
def test_wide_networks_in_fp32_get_the_hint(
    monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, Any]
) -> None:
    has(monkeypatch, capabilities)
    (hint,) = precision_hints(wide(), tiny_config(), CPU)
    assert "--precision bf16" in hint
    assert precision_hints(wide(), tiny_config(precision="bf16"), CPU) == []
    assert precision_hints(wide(), tiny_config(), torch.device("cuda")) == []


@pytest.mark.parametrize("capabilities", UNABLE)
def test_other_processors_get_none(
    monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, Any]
) -> None:
    has(monkeypatch, capabilities)
    assert not multiplies_bf16()
    assert precision_hints(wide(), tiny_config(), CPU) == []


def test_a_torch_that_does_not_tell_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bf16()


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 128, 3)),  # narrow
        nn.Sequential(nn.Conv2d(256, 256, 3, groups=4), nn.Linear(256, 256)),  # in groups
        nn.Sequential(nn.Embedding(1000, 256), nn.Linear(256, 256)),  # most of it is looked up
        nn.Identity(),
    ],
)
def test_networks_that_gain_little_get_none(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module
) -> None:
    has(monkeypatch, ABLE[0])
    assert precision_hints(network, tiny_config(), CPU) == []


@pytest.mark.parametrize(
    ("average", "accumulate", "said"),
    [
        ({"name": "ema", "decay": 0.99, "warmup": False}, 1, "13 % of the average"),
        ({"name": "ema", "decay": 0.99, "warmup": False, "start": 100}, 2, "61 % of the average"),
        ({"name": "swa"}, 1, "training.average.start=150 leaves them out"),
        ({"name": "swa", "start": 150}, 1, ""),
        ({"name": "ema", "decay": 0.999}, 1, ""),
        ({"name": "ema", "decay": 0.97, "warmup": False}, 1, ""),  # 0.97**200 = 0.002
        (None, 1, ""),
    ],
)
def test_averages_that_hold_on_to_a_runs_first_weights_are_told(
    average: dict[str, Any] | None, accumulate: int, said: str
) -> None:
    training = {"average": average, "accumulate": accumulate}
    hints = average_hints(tiny_config(iterations=200, training=training))
    assert bool(hints) == bool(said)
    assert said in "".join(hints)


def test_a_run_tells_it_once_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, ABLE[0])
    monkeypatch.setattr("mtl_framework.runs.advice._SHARE", 0.0)
    text = io.StringIO()
    start(tmp_path / "r", console=Console(file=text, width=200)).execute()
    lines = [line for line in text.getvalue().splitlines() if line.startswith("hint: ")]
    assert len([line for line in lines if "--precision bf16" in line]) == 1
