"""What the command lists and describes."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.command import status

from mtl_framework import hookimpl
from mtl_framework.plugins.manager import Plugins


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {
        ("strategies",): ["lws", "roaming", "full_sharing", "no_sharing", "fixed_sharing"],
        ("suites",): ["alphabets", "digits"],
        ("backbones",): ["dkl_convnet", "models of timm"],
        ("backbones", "--filter", "*resnet18*"): ["resnet18", "timm"],
        ("plugins",): ["mtl_lws", "mtl-framework", "mtl list plugins --check"],
        ("plugins", "--check"): ["strategies lws", "suites alphabets, arrays,"],
    }
    for arguments, words in wanted.items():
        assert status("list", *arguments) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        for word in words:
            assert word in printed.out
    status("list", "backbones", "--filter", "*resnet18*")
    assert "dkl_convnet" not in capsys.readouterr().out


def test_checking_plugins_imports_what_they_name_by_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(on_problem: Any = None) -> Plugins:
        plugins = Plugins(on_problem)
        plugins.register(Absent(), "absent")
        return plugins

    monkeypatch.setattr(Plugins, "load", load)
    assert status("list", "plugins", "--check") == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "strategy 'lost' of plugin 'absent' of this program cannot be imported: Attrib" in told


class Absent:
    """A plugin that names a class which is not there."""

    @hookimpl
    def mtl_strategies(self) -> dict[str, str]:
        return {"lost": "mtl_framework.strategies.strategy:Nowhere"}


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("export", "x", "--task", "a", "--format", "onx"), "onnx"),
        (("predict", "x", "y", "--checkpoint", "bst"), "best"),
    ],
)
def test_a_misspelt_choice_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], near: str
) -> None:
    assert status(*arguments) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"did you mean '{near}'?" in told
    assert "Value error" not in told


def test_describing_a_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("describe", "--backbone", "resnet18", "--input", "3x32x32") == 0
    printed = capsys.readouterr().out
    assert "11,176,512 parameters without the last layer, 8 units, 512 features" in printed
    rows = re.findall(r"^ *(\d) +(layer\S+) +([\d,]+) +([\d.]+) %", printed, re.MULTILINE)
    assert [row[1] for row in rows] == [f"layer{n}.{k}" for n in (1, 2, 3, 4) for k in (0, 1)]
    stem = re.search(r"always shared +([\d,]+) +[\d.]+ % +stem", printed)
    assert stem is not None
    sizes = [int(text.replace(",", "")) for text in [stem[1], *(row[2] for row in rows)]]
    assert sum(sizes) == 11_176_512
    assert "branching:" in printed
    assert "hint: the last feature map of resnet18 on 32x32 images is a single pixel" in printed
    stages = ["--set", "backbone.granularity=stage", "--set", "backbone.small_images=true"]
    assert status("describe", "--backbone", "resnet10t", "--input", "3x32x32", *stages) == 0
    printed = capsys.readouterr().out
    assert "4 units" in printed
    assert "hint" not in printed


def test_describing_a_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("describe", "--strategy", "lws") == 0
    printed = capsys.readouterr().out
    assert re.search(r"nes_samples +8 .*assignments that a search step", printed)
    assert "presets: paper" in printed


def test_describing_a_suite_touches_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("describe", "--suite", "table") == 0
    printed = capsys.readouterr().out
    assert re.search(r"path +needed +text", printed)
    assert "column with paths of images" in printed
    assert "mtl run --suite table --set suite.path=VALUE" in printed
