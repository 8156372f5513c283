"""The penalty of sluice networks: what it is of, its gradient by plain loops, and in real steps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import SluiceConfig
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.sluice import Sluice, overlap, overlap_of
from support.column_loops import Loops
from support.cross_stitch import (
    CLOSE,
    MODELS,
    NARROW,
    features,
    features_suite,
    gradients,
    images_suite,
    one_stem,
    stirred,
)
from support.makers import make_backbone, make_batch
from support.tiny import TinyPlugins, start
from torch import Tensor

from mtl_framework import TrainingConfig
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data import Suite
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.support.errors import MtlError

CONVNEXT: dict[str, Any] = {"args": {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 20)}}


def built(backbone: Backbone, suite: Suite, **options: Any) -> tuple[Sluice, ColumnNetworks]:
    """In float64, with weights that differ from place to place, and plain SGD at a rate of 0.05."""
    strategy = Sluice(SluiceConfig(
        **{"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.05, **options}
    ))  # fmt: skip
    strategy.recipe = Recipe(TrainingConfig(), 10)
    torch.manual_seed(1)
    network = stirred(strategy.build(backbone, suite).double())
    if hasattr(network.model, "stem"):
        one_stem(network)
    return strategy, network


def by_hand(weight: Tensor, subspaces: int) -> tuple[Tensor, Tensor]:
    """The sum of squared inner products of rows of two subspaces, and its gradient, row by row."""
    rows = weight.detach().flatten(1)
    size = len(rows) // subspaces
    total, gradient = torch.zeros((), dtype=torch.float64), torch.zeros_like(rows)
    for i, row in enumerate(rows):
        for j, other in enumerate(rows):
            if i // size == j // size:
                continue
            product = row @ other
            total += product**2 / 2  # every pair comes twice
            gradient[i] += 2 * product * other
    return total, gradient.view_as(weight)


# -- what it is of --------------------------------------------------------------------------------


def test_the_penalty_is_of_what_subspaces_read_in_common() -> None:
    half = torch.randn(3, 5, dtype=torch.float64)
    apart = torch.zeros(4, 6, dtype=torch.float64)
    apart[:2, :3], apart[2:, 3:] = torch.randn(2, 3), torch.randn(2, 3)
    assert overlap(apart, 2) == 0
    torch.testing.assert_close(
        overlap(torch.cat([half, half]), 2), (half.T @ half).square().sum(), **CLOSE
    )
    weight = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    by_hand = sum(
        (weight[p] * weight[q]).sum() ** 2
        for a in range(3)
        for b in range(a + 1, 3)
        for p in (2 * a, 2 * a + 1)
        for q in (2 * b, 2 * b + 1)
    )
    torch.testing.assert_close(overlap(weight, 3), torch.as_tensor(by_hand), **CLOSE)
    turned = weight[[0, 1, 3, 2, 4, 5]]  # the order of channels within a subspace means nothing
    torch.testing.assert_close(overlap(turned, 3), overlap(weight, 3), **CLOSE)


#: By backbone its options, and the layers of one column that make the channels of mixed units.
MAKERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "resnet18": (
        NARROW,
        [f"layer{n}.1.copies.{{}}.conv{c}" for n in (1, 2, 3, 4) for c in (1, 2)],
    ),
    "convnext_atto": (
        CONVNEXT,
        [
            *(f"stages.{n}.copies.{{}}.downsample.1" for n in (1, 3)),
            *(f"stages.{n}.copies.{{}}.blocks.0.mlp.fc2" for n in (0, 1, 3)),
            "stages.2.blocks.1.copies.{}.mlp.fc2",
        ],
    ),
    "vit_tiny_patch16_224": (
        MODELS["vit_tiny_patch16_224"],
        [f"blocks.{n}.copies.{{}}.{part}" for n in (0, 1) for part in ("attn.proj", "mlp.fc2")],
    ),
}


@pytest.mark.parametrize("subspaces", [2, 4])
@pytest.mark.parametrize("name", MAKERS)
def test_its_gradient_is_that_of_the_layers_that_make_channels(name: str, subspaces: int) -> None:
    """In all columns, and in no other weight: not in norms, and not in what is not mixed."""
    options, makers = MAKERS[name]
    backbone = make_backbone(name, **options)
    strategy, network = built(backbone, images_suite(), penalty=0.3, subspaces=subspaces)
    found = strategy.penalize()
    names = {f"model.{maker.format(column)}.weight" for maker in makers for column in (0, 1)}
    assert set(gradients(network)) == names
    total = torch.zeros((), dtype=torch.float64)
    for key, gradient in gradients(network).items():
        value, expected = by_hand(network.get_parameter(key), subspaces)
        torch.testing.assert_close(gradient, 0.3 * expected, **CLOSE)
        total += value
    torch.testing.assert_close(found["overlap"], total, **CLOSE)


def test_units_without_such_a_layer_have_none() -> None:
    """ConvNeXt's norm behind the last stage; by itself, it is refused."""
    backbone, suite = make_backbone("convnext_atto", **CONVNEXT), images_suite()
    strategy, _ = built(backbone, suite)
    assert strategy.config.penalty > 0
    assert strategy.positions.units[-1] == "head.norm"
    message = r"strategy.penalty: of the mixed units \(head.norm\) none has a layer .*set it to 0"
    with pytest.raises(MtlError, match=message):
        built(backbone, suite, after="head.norm")
    built(backbone, suite, after="head.norm", penalty=0)
    built(backbone, suite, after="head.norm", subspaces=1)


# -- in real steps --------------------------------------------------------------------------------


def dense() -> tuple[Backbone, Suite, list[str]]:
    names = [f"model.{unit}.copies.{t}.0.weight" for unit in ("one", "two") for t in range(3)]
    return features("task"), features_suite(common_input=True), names


def convnext() -> tuple[Backbone, Suite, list[str]]:
    options, makers = MAKERS["convnext_atto"]
    names = [f"model.{maker.format(column)}.weight" for maker in makers for column in (0, 1)]
    return make_backbone("convnext_atto", **options), images_suite(), names


@pytest.mark.parametrize("penalty", [0.0, 0.2])
@pytest.mark.parametrize("make", [dense, convnext])
def test_a_step_goes_down_the_losses_and_the_penalty(make: Any, penalty: float) -> None:
    """Weights after a step of SGD are those of plain loops, less the penalty's gradient by hand."""
    backbone, suite, makers = make()
    after = "block" if make is dense else "stage"
    strategy, network = built(backbone, suite, penalty=penalty, after=after)
    batch = make_batch(suite.tasks, common_input=suite.common_input)
    Loops(network, training=True).step(batch)
    expected, total = {}, torch.zeros((), dtype=torch.float64)
    for name, value in network.named_parameters():
        gradient = torch.zeros_like(value) if value.grad is None else value.grad.clone()
        if name in makers:
            overlapping, more = by_hand(value, 2)
            gradient += penalty * more
            total += overlapping
        expected[name] = value.detach() - 0.05 * gradient
    run: Any = SimpleNamespace(next_batch=lambda: batch)
    metrics = next(strategy.optimize(run)).metrics
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name], **CLOSE)
    assert ("overlap" in metrics) == (penalty > 0)
    if penalty:
        torch.testing.assert_close(metrics["overlap"], total, **CLOSE)


def test_a_run_with_a_large_penalty_ends_with_subspaces_apart(tmp_path: Path) -> None:
    overlaps = {}
    for penalty in (0.0, 1.0):
        strategy = {"name": "sluice", "after": "low", "penalty": penalty, "learning_rate": 0.01}
        plugins = TinyPlugins(sluice=Sluice)
        run = start(tmp_path / f"{penalty}", plugins, strategy=strategy, iterations=20)
        run.execute()
        assert isinstance(run.network, ColumnNetworks)
        overlaps[penalty] = float(overlap_of(run.network, 2).detach())
    assert overlaps[1.0] < 0.1 * overlaps[0.0]
