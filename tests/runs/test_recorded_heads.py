"""A run records its heads, so that it stays what it is when the default head changes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.dense_tasks import dense_tasks
from torch import nn

import mtl_framework
from mtl_framework.data import HeadChoice, Suite
from mtl_framework.data.head_choice import DEFAULT_NAME, DEFAULT_OPTIONS
from mtl_framework.networks.decoders.choices import DEFAULT, fcn
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs import config as config_module
from mtl_framework.runs.checkpoint import load_state, save_state
from mtl_framework.runs.resolve import Layer, read_file, resolve
from mtl_framework.support.errors import MtlError
from mtl_framework.support.yamls import dump_yaml, read_yaml

SETTINGS: dict[str, Any] = {
    "strategy": "full_sharing",
    "suite": {"name": "scenes", "train": 8, "validation": 8, "test": 8, "tasks": ["depth"]},
    "backbone": {
        "name": "convnext_atto",
        "args": {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 20]},
    },
    "batch_size": 2,
    "iterations": 1,
    "eval_every": 1,
}


def as_before(folder: Path) -> None:
    """Take out of a run's files what was not written before heads were recorded."""
    plain, _ = read_yaml(folder / "config.yaml")
    assert plain.pop("default_head") == {"name": DEFAULT_NAME, **DEFAULT_OPTIONS}
    (folder / "config.yaml").write_text(dump_yaml(plain))
    for file in (folder / "checkpoint").glob("*.json"):
        state: Any = load_state(file.with_suffix(""))
        del state["config"]["default_head"]
        save_state(file.with_suffix(""), state)
    known = json.loads((folder / "tasks.json").read_text())
    for task in known["tasks"]:
        assert task.pop("head")["name"] == "fpn"
    (folder / "tasks.json").write_text(json.dumps(known))


def decoder(folder: Path) -> str:
    network: Any = mtl_framework.load_run(folder).network
    return type(network.heads[0].decoder).__name__


@pytest.mark.long
def test_runs_from_before_heads_were_recorded_have_the_head_of_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, before = tmp_path / "now", tmp_path / "before"
    mtl_framework.run(config=SETTINGS, output=now, progress=False)
    shutil.copytree(now, before)
    as_before(before)
    monkeypatch.setattr(config_module, "DEFAULT_NAME", "segformer")
    monkeypatch.setattr(config_module, "DEFAULT_OPTIONS", {"width": 8, "dropout": 0.0})
    images = torch.rand(1, 3, 64, 64)
    predicted = [
        mtl_framework.load_run(folder).predict("depth", images) for folder in (now, before)
    ]
    assert torch.equal(*predicted)
    assert decoder(now) == decoder(before) == "FPNDecoder"
    mtl_framework.run(output=before, resume=True, iterations=2, progress=False)
    assert decoder(before) == "FPNDecoder"
    assert read_yaml(before / "config.yaml")[0]["default_head"]["width"] == 64
    plugins = Plugins.load()
    assert resolve(plugins, [read_file(now / "config.yaml")]).config.default_head["name"] == "fpn"
    assert resolve(plugins, [Layer(SETTINGS)]).config.default_head["name"] == "segformer"


def test_a_config_is_complete_with_every_option_of_its_heads() -> None:
    plugins = Plugins.load()
    given = {"heads": {"all": "aspp", "depth": {"name": "fcn", "width": 8}}}
    config = resolve(plugins, [Layer(given)]).config
    assert config.heads == {
        "all": {"name": "aspp", "width": 64, "rates": [6, 12, 18], "dropout": 0.0},
        "depth": {"name": "fcn", "width": 8, "depth": 2, "dropout": 0.0},
    }
    assert config.default_head == {"name": DEFAULT.name, **DEFAULT.options}
    plain = resolve(plugins, [Layer({"heads": {"all": "fpn"}})]).config
    assert plain.heads["all"] == plain.default_head  # fpn's own defaults
    with pytest.raises(MtlError, match=r"default_head.*did you mean 'default_head.width'"):
        resolve(plugins, [Layer({"default_head": {"name": "fpn", "widht": 8}})])


class Corner(nn.Module):
    """A head of a suite's own, which no plugin contributes."""

    def __init__(self, channels: Sequence[int], outputs: int, /, *, kernel: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels[-1], outputs, kernel, padding=kernel // 2)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        outputs: torch.Tensor = self.layer(maps[-1])
        return outputs


@pytest.mark.parametrize(
    "head", [HeadChoice("corner", Corner, {"kernel": 3}), HeadChoice("fcn", fcn, {"width": 64})]
)
def test_heads_of_a_suites_own_are_loaded(head: HeadChoice, tmp_path: Path) -> None:
    suite = Suite("own", dense_tasks(["depth", "normals"], 32, head=head), False)
    settings = {key: value for key, value in SETTINGS.items() if key != "suite"}
    mtl_framework.run(suite=suite, config=settings, output=tmp_path / "run", progress=False)
    installed = head.name == "fcn"
    loaded: Any = mtl_framework.load_run(tmp_path / "run", suite=None if installed else suite)
    wanted = "FCNDecoder" if installed else "Corner"
    assert type(loaded.network.heads[0].decoder).__name__ == wanted
    assert loaded.predict("depth", torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_a_suites_own_head_may_not_have_the_name_of_another(tmp_path: Path) -> None:
    head = HeadChoice("fpn", Corner, {"kernel": 3})
    suite = Suite("own", dense_tasks(["depth"], 32, head=head), False)
    settings = {key: value for key, value in SETTINGS.items() if key != "suite"}
    with pytest.raises(MtlError, match="'fpn', which is the name of an installed head"):
        mtl_framework.run(suite=suite, config=settings, output=tmp_path / "run", progress=False)


def test_a_head_that_cannot_read_the_maps_says_so(tmp_path: Path) -> None:
    head = HeadChoice("fcn", fcn, {"width": 8})  # norms of one number, as the deepest map is 1x1
    suite = Suite("own", dense_tasks(["depth"], 32, head=head), False)
    settings = {key: value for key, value in SETTINGS.items() if key != "suite"}
    with pytest.raises(MtlError, match=r"'fcn' cannot read maps of .*, 20x1x1: Expected more than"):
        mtl_framework.run(suite=suite, config=settings, output=tmp_path / "run", progress=False)
