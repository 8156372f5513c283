"""Sections of a config layer over layer: default, preset, file, command line."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.tiny import Routed, TinyPlugins

from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.resolve import Layer, resolve
from mtl_framework.runs.settings import parse_setting


class Preset(Routed):
    """Has a recipe of its own."""

    presets = {  # noqa: RUF012
        "paper": {
            "training": {
                "optimizer": {"name": "sgd", "momentum": 0.9},
                "schedule": {"name": "cosine", "warmup": 5},
                "clip": 2.0,
            }
        }
    }


def config(file: dict[str, Any], *settings: str) -> RunConfig:
    values = {"suite": "tiny", "backbone": "tiny", "strategy": "preset", "preset": "paper", **file}
    layers: Sequence[Layer] = [Layer(values)]
    return resolve(TinyPlugins(preset=Preset), layers, [parse_setting(s) for s in settings]).config


def test_the_order_is_default_preset_file_command_line() -> None:
    training = config({"training": {"clip": 1.0, "head_factor": 3.0}}, "training.clip=0.5").training
    assert training.clip == 0.5  # command line over file over preset
    assert training.head_factor == 3.0  # the file's
    assert training.optimizer is not None
    assert training.optimizer.options == {"momentum": 0.9}  # the preset's
    assert training.accumulate == 1  # the default


@pytest.mark.parametrize(
    ("file", "settings", "name", "options"),
    [
        ({}, ("training.optimizer.momentum=0.5",), "sgd", {"momentum": 0.5}),
        ({}, ("training.optimizer=adamw",), "adamw", {}),
        ({}, ("training.optimizer=sgd",), "sgd", {"momentum": 0.9}),
        ({"optimizer": "adamw"}, ("training.optimizer.eps=0.1",), "adamw", {"eps": 0.1}),
        ({"optimizer": {"nesterov": True}}, (), "sgd", {"momentum": 0.9, "nesterov": True}),
        ({"optimizer": {"name": "adamw", "eps": 1.0}}, (), "adamw", {"eps": 1.0}),
    ],
)
def test_options_belong_to_their_name(
    file: dict[str, Any], settings: tuple[str, ...], name: str, options: dict[str, Any]
) -> None:
    optimizer = config({"training": file}, *settings).training.optimizer
    assert optimizer is not None
    assert (optimizer.name, optimizer.options) == (name, options)


def test_a_schedule_of_another_name_takes_nothing_over() -> None:
    schedule = config({}, "training.schedule=tanh").training.schedule
    assert (schedule.name, schedule.warmup) == ("tanh", 0)
    assert config({}, "training.schedule.warmup=9").training.schedule.name == "cosine"
    average = config({"training": {"average": None}}, "training.average.name=swa").training.average
    assert average is not None
    assert average.name == "swa"
