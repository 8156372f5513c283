"""Options and presets of pseudo-task augmentation."""

from collections.abc import Callable
from typing import Any

import pytest
from mtl_pta.config import COMBINATIONS, LETTERS, PtaConfig
from mtl_pta.presets import PRESETS
from mtl_pta.strategy import PseudoTaskAugmentation
from pydantic import ValidationError
from support.dense import dense_backbone
from support.makers import make_backbone, make_tasks
from support.pta import build, suite

from mtl_framework.data.tasks import Suite, Task
from mtl_framework.runs.config import RunConfig
from mtl_framework.support.errors import MtlError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": ""}, "letters of IFPDHG, .* combinations being I, F, P, D, FP, GP, GD, HGD"),
        ({"variant": "PX"}, "letters of IFPDHG"),
        ({"variant": "PGP"}, "every letter once \\(P occurs twice\\)"),
        ({"dropout_range": (0.5, 0.4)}, "0 <= low <= high < 1, found \\[0.5, 0.4\\]"),
        ({"dropout_range": (0.5, 1.0)}, "found \\[0.5, 1.0\\]"),
        ({"variant": "HGD", "dropout": 0.9}, "within dropout_range, \\[0.2, 0.8\\], .* found 0.9"),
        ({"meta_iteration": 0}, "greater than or equal to 1"),
        ({"meta_iteration": "week"}, "'epoch'"),
        ({"sharing": {}}, "exactly one of pattern, matrix, from_run, shared_first, found none"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PtaConfig(**options)


def test_all_letters_can_be_combined() -> None:
    for number in range(1, 2 ** len(LETTERS)):
        variant = "".join(x for bit, x in enumerate(LETTERS) if number >> bit & 1)
        config = PtaConfig(variant=variant)
        assert [config.has(letter) for letter in LETTERS] == [x in variant for x in LETTERS]


def test_presets_are_valid_runs() -> None:
    assert set(COMBINATIONS) <= set(PRESETS)
    for name, preset in PRESETS.items():
        run = RunConfig.model_validate(preset)
        config = PtaConfig(**run.strategy.options)
        if name in COMBINATIONS:
            assert (config.variant, config.meta_iteration, run.iterations) == (name, 250, 25_000)
        assert (config.perturbation, config.rate_perturbation) == (0.01, 0.1)
        assert (config.dropout, config.dropout_range) == (0.5, (0.2, 0.8))


def refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MtlError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_choosing_needs_validation_examples() -> None:
    strategy = PseudoTaskAugmentation(PtaConfig())
    refused(
        lambda: strategy.build(dense_backbone(), suite(validation=False)),
        "task 'task0' of suite 'binary' has none; .* decoders=1",
    )


def test_heads_inside_a_backbone_are_refused() -> None:
    tasks = [Task(t.name, t.objective, t.train, t.test, t.test) for t in make_tasks()]
    backbone = make_backbone("deit_tiny_distilled_patch16_224", args={"depth": 1})
    strategy = PseudoTaskAugmentation(PtaConfig())
    refused(lambda: strategy.build(backbone, Suite("i", tasks)), "'deit_tiny.* single linear")


def test_an_unknown_task_to_follow_is_refused() -> None:
    refused(lambda: build(course_of="task9"), "unknown task 'task9'; did you mean 'task")
