"""Options and presets of muir."""

from pathlib import Path
from typing import Any

import pytest
from mtl_muir.config import MuirConfig
from mtl_muir.presets import PRESETS
from pydantic import ValidationError
from support.muir_runs import run_of

from mtl_framework.runs.config import check_config
from mtl_framework.support.errors import MtlError


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_complete_configs(preset: str) -> None:
    values = dict(PRESETS[preset])
    options = {key: value for key, value in values["strategy"].items() if key != "name"}
    MuirConfig(**options)
    check_config({**values, "suite": {"name": "groups"}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection": "oracle"}, "should have oracle_groups exactly with selection=oracle"),
        ({"oracle_groups": (0,)}, "found some with selection=best"),
        ({"sampling": "uniform", "reactivation": 0.1}, "should have reactivation=0"),
        ({"save_best": True}, "should have search_generations with save_best"),
        ({"alpha": 1.0}, "less than 1"),
        (
            {"challenger_contexts": "fitted", "context_size": 0},
            "should have challenger_contexts=shared with context_size=0",
        ),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MuirConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection": "oracle", "oracle_groups": (0, 1)}, "each of the 6 tasks, found 2"),
        ({"block_in": 3}, "has 1 outputs and 8 inputs, which blocks of 1 x 3 do not divide"),
        ({"best_by": "lines"}, "unknown value of best_by 'lines'; did you mean 'line"),
    ],
)
def test_options_that_do_not_fit_the_tasks(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        run_of(tmp_path / "a", "groups", **options)


def test_an_oracle_needs_networks_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="tasks 'image' and 'text' are in one group, but have"):
        run_of(tmp_path / "a", selection="oracle", oracle_groups=(0, 0, 1))


def test_going_back_needs_evaluations(tmp_path: Path) -> None:
    keys = {"iterations": 60, "eval_every": 7}
    run = run_of(tmp_path / "a", "groups", keys=keys, search_generations=1, save_best=True)
    with pytest.raises(MtlError, match="eval_every should divide steps_per_generation=20, found 7"):
        run.execute()
