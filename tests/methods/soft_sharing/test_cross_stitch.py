"""Cross-stitch networks: what a step computes, against plain loops and by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import CrossStitchConfig
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.strategy import CrossStitch, mixed_units
from support.column_loops import Loops, compare
from support.cross_stitch import (
    CLOSE,
    MODELS,
    NARROW,
    features,
    features_suite,
    gradients,
    images_suite,
    networks,
    one_stem,
)
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from mtl_framework.support.errors import MtlError

# -- against the loops ----------------------------------------------------------------------------


@pytest.mark.parametrize(("group_major", "mixing"), [(True, "channel"), (False, "scalar")])
@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_agrees_with_the_loops(
    name: str, mixing: str, group_major: bool
) -> None:
    backbone = make_backbone(name, **MODELS[name])
    network = networks(backbone, images_suite(), mixing, group_major=group_major)
    compare(network, make_batch(network.tasks))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task"])
@pytest.mark.parametrize("group_major", [True, False])
def test_normalisations_and_inputs_agree_with_the_loops(
    normalization: str, common_input: bool, group_major: bool, training: bool
) -> None:
    suite = features_suite(common_input)
    network = networks(features(normalization), suite, group_major=group_major)
    if common_input:
        one_stem(network)
    compare(network, make_batch(network.tasks, common_input=common_input), training)


def test_unequal_batches_and_a_memory_budget_agree_with_the_loops() -> None:
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    network = networks(backbone, images_suite((2, 3, 5)))
    network.memory_budget = 1
    batch = make_batch(network.tasks, (4, 6, 4))
    assert len(network.plan(batch, network.columns).micro_batches) == 3
    compare(network, batch)


def test_models_whose_columns_cannot_be_mixed_are_refused() -> None:
    backbone, suite = features("shared"), features_suite()
    with pytest.raises(MtlError, match="'dense' reads tensors of a unit again behind a later one"):
        networks(replace(backbone, branching=False), suite)
    first, second = backbone.units
    several = replace(backbone, units=(replace(first, output_shape=None), second))
    with pytest.raises(MtlError, match=r"unit 'one' of .* does not return a single tensor"):
        networks(several, suite, after=("one",))


@pytest.mark.parametrize(
    ("after", "names"),
    [
        ("block", ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]),
        ("stage", ["layer1.1", "layer2.1"]),
        (["layer1.*"], ["layer1.0", "layer1.1"]),
        ("layer2.1", ["layer2.1"]),
    ],
)
def test_positions(after: Any, names: list[str]) -> None:
    backbone = make_backbone("resnet18", shareable=["layer1.*", "layer2.*"], **NARROW)
    config = CrossStitchConfig(after=after)
    found = mixed_units(config.after, backbone)
    assert [backbone.units[n].name for n in found] == names
    with pytest.raises(MtlError, match=r"unknown unit in strategy.after 'layer9'"):
        mixed_units(("layer9",), backbone)


def test_some_position_is_needed() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CrossStitchConfig(after=())


# -- one step of the strategy ---------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "factor"), [("adam", 10), ("sgd", 100)])
def test_mixing_weights_have_a_rate_of_their_own(optimizer: str, factor: float) -> None:
    strategy = CrossStitch(CrossStitchConfig(optimizer=optimizer, learning_rate=0.01))
    network = strategy.build(dense_backbone(), binary_suite(2))
    columns, mixing = strategy.optimizer.param_groups
    assert columns["lr"] == 0.01
    assert mixing["lr"] == pytest.approx(0.01 * factor)
    assert set(mixing["params"]) == set(network.mixers.parameters())
    assert len(columns["params"]) + len(mixing["params"]) == len(list(network.parameters()))


def test_loss_weights_are_those_of_the_tasks_that_are_named() -> None:
    strategy = CrossStitch(CrossStitchConfig(loss_weights={"task1": 0.25}))
    network = strategy.build(dense_backbone(), binary_suite(2)).double()
    inputs = tuple(torch.randn(5, 6, dtype=torch.float64) for _ in range(2))
    batch = Batch(inputs, tuple(torch.randint(2, (5,)) for _ in range(2)))
    network.step(batch, strategy.loss_weights)
    found = gradients(network)
    network.zero_grad()
    losses = network.losses(batch, network.columns)
    (losses[0, 0] / 2 + losses[1, 1] / 8).backward()
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(gradient, found[name], **CLOSE)
    wrong = CrossStitch(CrossStitchConfig(loss_weights={"task9": 1}))
    with pytest.raises(MtlError, match=r"task in strategy.loss_weights 'task9'"):
        wrong.build(dense_backbone(), binary_suite(2))


# -- running statistics ---------------------------------------------------------------------------


class Watching(Loops):
    """Keeps what every batch norm reads in the last pass, by place, column and task."""

    def __init__(self, network: ColumnNetworks) -> None:
        super().__init__(network, training=True)
        self.task = 0
        self.read: dict[tuple[str, int, int], Tensor] = {}

    def _bind(self, model: nn.Module, column: int) -> None:
        super()._bind(model, column)
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm1d):
                key = name, column, self.task

                def keep(_: nn.Module, inputs: tuple[Tensor, ...], key: Any = key) -> None:
                    self.read[key] = inputs[0].detach()

                module.register_forward_pre_hook(keep)


@pytest.mark.parametrize("common_input", [False, True])
@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_running_statistics_are_those_of_the_loops(normalization: str, common_input: bool) -> None:
    network = networks(features(normalization), features_suite(common_input))
    one_stem(network)
    batch = make_batch(network.tasks, common_input=common_input)
    tasks = range(len(network.tasks))
    loops = Watching(network)
    for loops.task in tasks:
        loops.run(batch.inputs[loops.task], list(tasks) if common_input else [loops.task] * 3)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.train()
    network.step(batch)
    seen = 0
    for name, found in network.named_buffers():
        place, _, kind = name.rpartition(".")
        if "copies" not in name or not kind.startswith("running"):
            continue
        parts = place.split(".")
        at = parts.index("copies")
        column, plain = int(parts[at + 1]), ".".join([*parts[1:at], *parts[at + 2 :]])

        def moved(average: Tensor, by: list[int], kind: str = kind, place: str = plain,
                  column: int = column) -> Tensor:  # fmt: skip
            for task in by:
                rows = loops.read[place, column, task]
                measured = rows.mean(0) if kind == "running_mean" else rows.var(0)
                average = 0.9 * average + 0.1 * measured
            return average

        # with a common input a column is run once, for its own task; else for every task's batch
        users = [column] if common_input else list(tasks)
        if normalization == "shared":
            expected = moved(before[name], users)
        else:
            rows = [moved(before[name][t], [t] if t in users else []) for t in tasks]
            expected = torch.stack(rows)
        torch.testing.assert_close(found, expected, **CLOSE)
        seen += 1
    assert seen == 2 * 2 * 3  # two units, mean and variance, three columns
