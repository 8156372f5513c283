"""Default names of runs: what differs from the defaults, and never one name for two configs."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.tiny import TinyPlugins

from mtl_framework.runs.names import run_name
from mtl_framework.runs.resolve import Layer, resolve

PLUGINS = TinyPlugins()


def name_of(**values: Any) -> str:
    whole = {"strategy": "soft", "suite": "tiny", "backbone": "tiny", **values}
    return run_name(resolve(PLUGINS, [Layer(whole)]).config, PLUGINS)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "tiny-soft-tiny-s0"),
        ({"seed": 3, "iterations": 7, "device": "cpu", "log_every": 1}, "tiny-soft-tiny-s3"),
        ({"strategy": {"name": "soft", "learning_rate": 0.5}},
         "tiny-soft-tiny-s0-learning_rate=0.5"),
        ({"batch_size": 8, "suite": {"name": "tiny", "examples": 9}},
         "tiny-soft-tiny-s0-examples=9-batch_size=8"),
        ({"backbone": {"name": "tiny", "shared": ["a", "b"]}}, "tiny-soft-tiny-s0-shared=a+b"),
    ],
)  # fmt: skip
def test_names_say_what_differs(values: dict[str, Any], name: str) -> None:
    assert name_of(**values) == name


@example("0" * 17)  # with its key as long as a part may be
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300))
def test_odd_options_give_names_of_their_own(pattern: str) -> None:
    name = name_of(backbone={"name": "tiny", "shared": [pattern]})
    assert len(name.encode()) < 200
    assert not set(name) & set('/\\:*?"<>|\0\n')
    other = name_of(backbone={"name": "tiny", "shared": [pattern + "x"]})
    assert name != other


def test_many_options_end_in_a_digest() -> None:
    values = {"batch_size": 2, "eval_every": 3, "eval_batch_size": 4}
    first = name_of(**values, precision="bf16")
    assert first.startswith("tiny-soft-tiny-s0-batch_size=2-")
    assert first != name_of(**values, memory_budget=9)
