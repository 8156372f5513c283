"""Sluice networks: no sharing to the bit, units by their weights, plain loops."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import SluiceConfig
from mtl_soft_sharing.figures import mixing_figures
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.sluice import Sluice, SubspaceMixer, UnitMixer
from mtl_soft_sharing.strategy import mixed_units
from support.column_loops import compare
from support.cross_stitch import (
    CLOSE,
    MODELS,
    Common,
    features,
    features_suite,
    gradients,
    images_suite,
    networks,
    one_stem,
    stirred,
)
from support.makers import make_backbone, make_batch, on_one_input
from support.tiny import TinyPlugins, start
from torch import Tensor

from mtl_framework import RunRecord, TaskNetworks
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data import Suite
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.support.errors import MtlError


def sluices(
    backbone: Backbone, suite: Suite, stir: bool = True, group_major: bool = True, **options: Any
) -> ColumnNetworks:
    """In float64."""
    torch.manual_seed(1)
    strategy = Sluice(SluiceConfig(**{"after": "block", "penalty": 0, **options}))
    mixed = mixed_units(strategy.config.after, backbone)
    network = ColumnNetworks(backbone, suite, strategy.mixers(backbone, mixed, len(suite)))
    network.planner.group_major = group_major
    return stirred(network.double()) if stir else network.double()


NOTHING: dict[str, Any] = {"own_weight": 1.0, "last_weight": 1.0}


@pytest.mark.parametrize("subspaces", [1, 2])
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_no_mixing_is_no_sharing_to_the_bit(name: str, subspaces: int) -> None:
    """With weights of one for oneself and the last unit: losses, gradients and predictions."""
    backbone = make_backbone(name, normalization="task", **MODELS[name])
    suite = on_one_input(images_suite().tasks)
    network = sluices(backbone, suite, stir=False, subspaces=subspaces, **NOTHING)
    plain = TaskNetworks(backbone, suite.tasks, len(suite), group_major=True).double()
    plain.load_state_dict({n: v for n, v in network.state_dict().items() if "mixers" not in n})
    batch = make_batch(suite.tasks, common_input=True)
    own = torch.arange(2).expand(1, len(backbone.units), -1)
    expected = plain.accumulate_gradients(batch, own)[0]
    assert torch.equal(network.step(batch), expected)
    wanted, found = gradients(plain), gradients(network)
    assert set(wanted) == {name for name in found if "mixers" not in name}
    for key, gradient in wanted.items():
        assert torch.equal(found[key], gradient), key
    network.eval()
    plain.assignment.copy_(own[0])
    plain.eval()
    for task, inputs in enumerate(batch.inputs):
        assert torch.equal(network.predict(task, inputs), plain.predict(task, inputs))


def test_a_run_that_mixes_nothing_is_one_of_no_sharing_to_the_bit(tmp_path: Path) -> None:
    own: dict[str, Any] = {"name": "no_sharing", "learning_rate": 0.01}
    sluice = {"name": "sluice", "subspaces": 1, "learning_rate": 0.01, "mixing_rate": 0, **NOTHING}
    plain = start(tmp_path / "plain", plugins(), strategy=own, suite={"name": "common"})
    mixed = start(tmp_path / "mixed", plugins(), strategy=sluice, suite={"name": "common"})
    plain.execute()
    mixed.execute()
    for name, value in plain.network.state_dict().items():
        assert torch.equal(mixed.network.state_dict()[name], value), name


@pytest.mark.parametrize("kept", [0, 1])
def test_weights_of_one_unit_give_its_output(kept: int) -> None:
    """What is behind the last unit reads that of another one, where shapes are equal."""
    backbone = features("task")  # two units of eight features
    suite = features_suite(common_input=True)
    network = sluices(backbone, suite, subspaces=1, own_weight=1.0, stir=False).eval()
    layers = network.mixers["1"].get_parameter("layers")
    layers.data = torch.eye(2).double()[[kept] * 3]
    inputs = make_batch(suite.tasks).inputs[0]
    for task in range(3):
        model = network.extract_path(task, [task, task])
        y = model.get_submodule("one")(model.get_submodule("stem")(inputs))
        y = y if kept == 0 else model.get_submodule("two")(y)
        found = network.features(task, inputs)
        assert isinstance(found, Tensor)
        assert torch.equal(found, y)
        assert torch.equal(network.extract(task)(inputs), network.predict(task, inputs))


def test_units_of_other_shapes_are_pooled_and_projected() -> None:
    """(4, 6, 6) beside (8, 3, 3): means of 2x2 positions, then a matrix a column."""
    start_weights = torch.eye(2)
    mixer = UnitMixer(start_weights, torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
                      [((4, 6, 6), 0), ((8, 3, 3), 0)], [0])  # fmt: skip
    earlier, last = torch.randn(1, 2, 5, 4, 6, 6), torch.randn(1, 2, 5, 8, 3, 3)
    found = mixer(last, earlier)
    for column in range(2):
        matrix = mixer.projections["0"][column]
        pooled = torch.nn.functional.avg_pool2d(earlier[0, column], 2)
        expected = torch.einsum("dc,bcyx->bdyx", matrix, pooled)
        torch.testing.assert_close(found[0, column], expected)
    mixer.layers.data = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert torch.equal(mixer(last, earlier), last)
    # a map beside features: its mean
    shapes = [((4, 6, 6), 0), ((8,), 0)]
    mixer = UnitMixer(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), shapes, [0])
    expected = earlier[0, 1].mean((2, 3)) @ mixer.projections["0"][1].T
    torch.testing.assert_close(mixer(last[..., 0, 0], earlier)[0, 1], expected)


@pytest.mark.parametrize(
    ("name", "group_major"),
    [("resnet18", True), ("vit_tiny_patch16_224", True), ("swin_tiny_patch4_window7_224", False)],
)
def test_every_kind_of_model_agrees_with_the_loops(name: str, group_major: bool) -> None:
    network = sluices(make_backbone(name, **MODELS[name]), images_suite(), group_major=group_major)
    compare(network, make_batch(network.tasks))
    network.eval()
    batch = make_batch(network.tasks)
    for task, inputs in enumerate(batch.inputs):
        torch.testing.assert_close(
            network.extract(task)(inputs), network.predict(task, inputs), **CLOSE
        )


@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_inputs_and_normalisations_agree_with_the_loops(
    normalization: str, common_input: bool
) -> None:
    network = sluices(features(normalization), features_suite(common_input))
    one_stem(network)
    batch = make_batch(network.tasks, common_input=common_input)
    compare(network, batch, training=False)
    compare(network, batch)
    network.zero_grad()
    whole = network.step(batch)
    network.memory_budget = 1
    none = torch.zeros(len(batch.inputs[1]), dtype=torch.bool)
    losses = network.step(replace(batch, labelled=(None, none, None)))
    assert losses[1] == 0
    torch.testing.assert_close(losses[::2], whole[::2], **CLOSE)


def test_swapped_tasks_swap_rows_and_columns() -> None:
    backbone, order = features("shared"), [1, 0, 2]
    suite = features_suite(common_input=True)
    network = sluices(backbone, suite).eval()
    other = sluices(backbone, Suite("s", [suite.tasks[t] for t in order], common_input=True)).eval()
    subspaces = [2 * t + part for t in order for part in range(2)]
    state = network.state_dict()
    for name, value in other.state_dict().items():
        parts = name.split(".")
        if parts[0] == "mixers":
            rows = subspaces if name.endswith("weight") else order
            source = state[name][rows]
            value.copy_(source[:, subspaces] if name.endswith("weight") else source)
        elif "copies" in parts or parts[0] == "heads":
            at = parts.index("copies") + 1 if "copies" in parts else 1
            parts[at] = str(order[int(parts[at])])
            value.copy_(state[".".join(parts)])
    inputs = make_batch(suite.tasks).inputs[0]
    for position, task in enumerate(order):
        torch.testing.assert_close(
            other.predict(position, inputs), network.predict(task, inputs), **CLOSE
        )


def test_one_subspace_and_the_last_unit_are_a_cross_stitch_network() -> None:
    backbone, suite = features("task"), features_suite()
    stitched = networks(backbone, suite)
    network = sluices(backbone, suite, subspaces=1, last_weight=1.0, stir=False)
    network.load_state_dict(stitched.state_dict(), strict=False)
    batch = make_batch(suite.tasks)
    torch.testing.assert_close(network.step(batch), stitched.step(batch), **CLOSE)


def test_subspaces_are_consecutive_channels() -> None:
    """Column A goes on with its own first half and the second half of column B."""
    weight = torch.zeros(4, 4)
    weight[0, 0] = weight[1, 3] = weight[2, 2] = weight[3, 3] = 1
    x = torch.randn(1, 2, 3, 6, 2, 2)
    y = SubspaceMixer(weight, 2, 0)(x)
    assert torch.equal(y[:, 0, :, :3], x[:, 0, :, :3])
    assert torch.equal(y[:, 0, :, 3:], x[:, 1, :, 3:])
    assert torch.equal(y[:, 1], x[:, 1])


# -- what is refused, and the figure --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"subspaces": 3},
            r"the 8 channels of unit 'one' cannot be cut into 3 equal groups; .* into 1, 2, 4, 8",
        ),
        ({"own_weight": 1.5}, "should be from 0 to 1, or balanced"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((MtlError, ValueError), match=message):
        sluices(features("shared"), features_suite(), **options)


def test_weights_start_as_they_are_asked_to() -> None:
    backbone, suite = features("shared"), features_suite()
    even = sluices(
        backbone, suite, own_weight="balanced", last_weight="balanced", stir=False
    ).mixers["1"]
    assert torch.equal(even.get_parameter("weight").float(), torch.full((6, 6), 1 / 6))
    assert torch.equal(even.get_parameter("layers").float(), torch.full((3, 2), 0.5))
    own = sluices(backbone, suite, own_weight=0.8, last_weight=0.7, stir=False).mixers["1"]
    torch.testing.assert_close(own.get_parameter("weight").sum(1).float(), torch.ones(6))
    assert float(own.get_parameter("weight")[2, 2]) == pytest.approx(0.8)
    torch.testing.assert_close(own.get_parameter("layers").float(), torch.tensor([[0.3, 0.7]] * 3))


def plugins() -> TinyPlugins:
    found = TinyPlugins(
        sluice=Sluice,
        no_sharing="mtl_baselines.ends:NoSharing",  # type: ignore[arg-type]
    )
    found.register(Common(), "common")
    return found


def test_the_figures_show_both_mixtures(tmp_path: Path) -> None:
    strategy = {"name": "sluice", "after": "low", "learning_rate": 0.01}
    start(tmp_path / "run", plugins(), strategy=strategy, iterations=2).execute()
    result = Result.load(tmp_path / "run")
    record = RunRecord("mixed", "tiny", "tiny", 0, tmp_path / "run", 2, "done", result)
    subspaces, units = mixing_figures([record])
    assert "for 1 units" in subspaces.alt
    assert "Largest weight, rows: low, sides: low." in units.alt
    assert png(units.figure).startswith(b"\x89PNG")
