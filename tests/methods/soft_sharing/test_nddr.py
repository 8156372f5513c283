"""NDDR-CNN: against plain loops, beside cross-stitch networks, and taken out of training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import NddrConfig
from mtl_soft_sharing.nddr import Nddr, NddrLayer
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.strategy import mixed_units
from mtl_soft_sharing.unit import by_column
from support.column_loops import Loops, compare
from support.cross_stitch import (
    CLOSE,
    MODELS,
    features,
    features_suite,
    gradients,
    images_suite,
    networks,
    one_stem,
    stirred,
)
from support.makers import make_backbone, make_batch, on_one_input
from torch import nn

from mtl_framework import ColumnMixer, TaskNetworks
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data import Suite
from mtl_framework.routing.mixing import behind_of
from mtl_framework.support.errors import MtlError


def fused(
    backbone: Backbone, suite: Suite, group_major: bool = True, **options: Any
) -> ColumnNetworks:
    """In float64, with weights, norms and averages that differ from place to place."""
    torch.manual_seed(1)
    strategy = Nddr(NddrConfig(**options))
    mixed = mixed_units("block", backbone)
    network = ColumnNetworks(backbone, suite, strategy.mixers(backbone, mixed, len(suite)))
    network.planner.group_major = group_major
    return stirred(network.double())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "group_major"),
    [
        ("resnet18", True),
        ("resnet18", False),
        ("vit_tiny_patch16_224", True),
        ("swin_tiny_patch4_window7_224", False),
    ],
)
def test_every_kind_of_model_agrees_with_the_loops(name: str, group_major: bool) -> None:
    network = fused(make_backbone(name, **MODELS[name]), images_suite(), group_major)
    compare(network, make_batch(network.tasks))


@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_modes_statistics_and_extraction_agree_with_the_loops(
    normalization: str, common_input: bool
) -> None:
    """Losses and gradients; what a step makes of running averages; prediction; one task alone."""
    network = fused(features(normalization), features_suite(common_input))
    one_stem(network)
    batch = make_batch(network.tasks, common_input=common_input)
    compare(network, batch, training=False)
    loops = Loops(network, training=True)
    loops.step(batch)
    network.zero_grad()
    norms: dict[int, Any] = {
        id(layer.norm): layer.norm
        for mixer in network.mixers.values()
        for layer in mixer.behind  # type: ignore[union-attr]
    }
    expected = {key: norm.running_mean.clone() for key, norm in norms.items()}
    for key, reads in loops.seen.items():
        assert len(reads) == (len(network.tasks) if not common_input else 3)
        used = list(norms).index(key) % len(network.tasks)  # the column whose norm it is
        for reader, rows in reads:
            if common_input and reader != used:
                continue
            average = expected[key][reader] if normalization == "task" else expected[key]
            average.mul_(0.9).add_(0.1 * rows.mean(0))
        if common_input:  # the loops run every column once for each task
            own = next(rows for reader, rows in reads if reader == used)
            start = norms[key].running_mean
            mean = 0.9 * start + 0.1 * own.mean(0)
            expected[key] = start.clone()
            if normalization == "task":
                expected[key][used] = mean[used]
            else:
                expected[key] = mean
    compare(network, batch)
    for key, norm in norms.items():
        torch.testing.assert_close(norm.running_mean, expected[key], **CLOSE)
    network.eval()
    for task, inputs in enumerate(batch.inputs):
        alone = network.extract(task)
        assert not any(type(m).__name__ == "RoutedBatchNorm" for m in alone.modules())
        torch.testing.assert_close(alone(inputs), network.predict(task, inputs), **CLOSE)


def test_diagonal_weights_are_a_cross_stitch_unit_by_channel() -> None:
    backbone, suite = make_backbone("resnet18", **MODELS["resnet18"]), images_suite()
    stitched = networks(backbone, suite, "channel")
    network = fused(backbone, suite, norm=False, activation="none")
    state = {n: v for n, v in stitched.state_dict().items() if not n.startswith("mixers")}
    network.load_state_dict(state, strict=False)
    for unit, mixer in network.mixers.items():
        by_channel = stitched.mixers[unit].get_parameter("weight").detach()  # (to, from, channel)
        weight = torch.einsum("tjc,cd->tcjd", by_channel, torch.eye(by_channel.shape[2]).double())
        mixer.get_parameter("weight").data = weight
    batch = make_batch(suite.tasks)
    torch.testing.assert_close(network.step(batch), stitched.step(batch), **CLOSE)
    for name, parameter in network.named_parameters():
        if not name.startswith("mixers"):
            other = stitched.get_parameter(name)
            torch.testing.assert_close(parameter.grad, other.grad, **CLOSE)


@pytest.mark.parametrize(("shape", "at"), [((4, 3, 3), 0), ((3, 3, 4), 2), ((5, 4), 1), ((4,), 0)])
def test_a_layer_that_starts_with_itself_alone_only_normalises(
    shape: tuple[int, ...], at: int
) -> None:
    layer = NddrLayer(3, 1.0, shape, at)
    x = torch.randn(2, 3, 6, *shape)
    assert torch.equal(layer(x), x)
    y = layer.behind[1](x[0, 1])
    rows = x[0, 1].movedim(1 + at, -1).flatten(0, -2)
    expected = (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()
    found = y.movedim(1 + at, -1).flatten(0, -2)
    torch.testing.assert_close(found, expected.relu(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(by_column(layer.weight.detach()), torch.eye(3))


@pytest.mark.parametrize(("norm", "activation"), [(True, "relu"), (True, "none"), (False, "none")])
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_networks_that_start_with_themselves_alone_are_columns_with_norms(
    name: str, norm: bool, activation: str
) -> None:
    """Losses, gradients, averages and predictions are those of plain models, each by itself.

    Behind every unit such a model has torch's own batch norm and a ReLU, where there are any.
    """
    options: dict[str, Any] = {"own_weight": 1.0, "norm": norm, "activation": activation}
    backbone = make_backbone(name, normalization="task", **MODELS[name])
    suite = on_one_input(images_suite().tasks)
    network = fused(backbone, suite, **options)
    units = range(len(backbone.units))
    for unit, start in Nddr(NddrConfig(**options)).mixers(backbone, units, 2).items():
        weight = network.mixers[str(unit)].get_parameter("weight")
        weight.data = start.get_parameter("weight").detach().double()  # which fused has stirred
    batch = make_batch(suite.tasks, common_input=True)
    columns = [Column(network, task) for task in range(2)]
    losses = torch.stack([column.loss(batch.inputs[0], batch.targets[n]) for n, column in
                          enumerate(columns)])  # fmt: skip
    losses.mean().backward()
    torch.testing.assert_close(network.step(batch), losses.detach(), **CLOSE)
    found = gradients(network)
    wanted = [item for column in columns for item in column.gradients().items()]
    of_columns = [(key, gradient) for key, gradient in wanted if ".copies." in key or "head" in key]
    assert len(of_columns) > 20
    for key, gradient in of_columns:
        torch.testing.assert_close(found[key], gradient, **CLOSE)
    for key in {key for key, _ in wanted} - {key for key, _ in of_columns}:  # all have these
        total = torch.stack([gradient for name, gradient in wanted if name == key]).sum(0)
        torch.testing.assert_close(found[key], total, **CLOSE)
    network.eval()
    for task, column in enumerate(columns):
        for unit, bn in column.norms.items():
            average = network.mixers[str(unit)].behind[task].norm.running_mean  # type: ignore[index, union-attr]
            torch.testing.assert_close(average[task], bn.running_mean, **CLOSE)
        column.eval()
        expected = column.scores(batch.inputs[0])
        torch.testing.assert_close(network.predict(task, batch.inputs[0]), expected, **CLOSE)


class Column:
    """A plain model of one task with batch norms behind its units, and nothing of other columns."""

    def __init__(self, network: ColumnNetworks, task: int) -> None:
        self.backbone, self.objective, self.task = network.backbone, network.tasks[task], task
        self.model = network.extract_path(task, [task] * len(self.backbone.units)).train()
        self.model.requires_grad_(True)
        self.norms: dict[int, nn.modules.batchnorm._BatchNorm] = {}
        for unit, places in enumerate(self.backbone.places):
            behind: Any = next(iter(behind_of(network.mixers[str(unit)])[task:]), None)
            if behind is not None:
                last = self.model.get_submodule(places[-1].names[0])
                last.register_forward_hook(self._hook(unit, behind))

    def _hook(self, unit: int, behind: Any) -> Any:
        shape, rectified = self.backbone.units[unit].output_shape, behind.rectified
        kind = nn.BatchNorm2d if len(shape or ()) == 3 else nn.BatchNorm1d
        bn = self.norms[unit] = kind(len(behind.norm.weight)).double()
        state = behind.norm.state_dict()
        bn.load_state_dict({n: v if v.shape == bn.state_dict()[n].shape else v[self.task]
                            for n, v in state.items()})  # fmt: skip

        def follow(module: nn.Module, arguments: Any, y: torch.Tensor) -> torch.Tensor:
            y = bn(y) if y.ndim == 4 else bn(y.transpose(1, 2)).transpose(1, 2)  # or (_, tokens, C)
            return y.clamp(min=0) if rectified else y

        return follow

    def eval(self) -> None:
        for module in (self.model, *self.norms.values()):
            module.eval()

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.model(inputs)
        return found

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.objective.objective.losses(self.scores(inputs), targets).mean()

    def gradients(self) -> dict[str, torch.Tensor]:
        """By the names that the networks have for these weights."""
        found = {}
        for name, parameter in self.model.named_parameters():
            assert parameter.grad is not None
            found[self._name(name)] = parameter.grad
        for unit, bn in self.norms.items():
            for name, parameter in bn.named_parameters():
                assert parameter.grad is not None
                found[f"mixers.{unit}.behind.{self.task}.norm.{name}"] = parameter.grad
        return found

    def _name(self, name: str) -> str:
        if name.startswith(self.backbone.classifier + "."):
            return f"heads.{self.task}.{name.rpartition('.')[2]}"
        for place in (place for places in self.backbone.places for place in places):
            rest = name.removeprefix(place.names[0] + ".")
            if rest != name:
                return f"model.{place.names[0]}.copies.{self.task}.{rest}"
        return f"model.{name}"


def test_a_layer_starts_convex() -> None:
    weight = NddrLayer(3, 0.8, (4, 2, 2), 0).weight.detach()
    torch.testing.assert_close(weight.sum((2, 3)), torch.ones(3, 4))
    assert weight[0, 1, 0, 1] == pytest.approx(0.8)
    assert weight[0, 1, 2, 1] == pytest.approx(0.1)
    assert weight[0, 1, 2, 0] == 0


def test_parts_of_a_step_and_missing_labels() -> None:
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    network = fused(backbone, images_suite((2, 3, 5)))
    whole = network.step(make_batch(network.tasks, (4, 6, 4)))
    network.zero_grad()
    network.memory_budget = 1
    batch = make_batch(network.tasks, (4, 6, 4))
    assert len(network.plan(batch, network.columns).micro_batches) == 3
    torch.testing.assert_close(network.step(batch), whole, **CLOSE)
    none = torch.zeros(6, dtype=torch.bool)
    losses = network.step(replace(batch, labelled=(None, none, None)))
    assert losses[1] == 0
    torch.testing.assert_close(losses[::2], whole[::2], **CLOSE)


# -- what mixers may ask for ----------------------------------------------------------------------


class Reading(ColumnMixer):
    """Adds what the columns went on with behind earlier units."""

    def forward(self, x: torch.Tensor, *earlier: torch.Tensor) -> torch.Tensor:
        return x + sum(earlier)


def test_mixers_read_earlier_ones(tmp_path: Path) -> None:
    suite = features_suite(common_input=True)
    network = ColumnNetworks(features("shared"), suite, {0: Scaled(), 1: Reading([0])}).double()
    plain = TaskNetworks(features("shared"), suite.tasks, 3).double()
    own = {name: value for name, value in network.state_dict().items() if "mixers" not in name}
    plain.load_state_dict(own)
    network.eval()
    plain.eval()
    inputs = make_batch(suite.tasks).inputs[0]
    behind: list[torch.Tensor] = []
    model = plain.extract_path(1, [1, 1])
    model.get_submodule("one").register_forward_hook(lambda m, a, y: behind.append(2 * y) or 2 * y)  # type: ignore[func-returns-value]
    model.get_submodule("two").register_forward_hook(lambda m, a, y: y + behind[0])
    torch.testing.assert_close(network.predict(1, inputs), model(inputs), **CLOSE)
    torch.testing.assert_close(network.extract(1)(inputs), model(inputs), **CLOSE)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize(
    ("mixers", "message"),
    [
        ({0: Reading([1]), 1: Scaled()}, "behind unit 0 reads unit 1, which is no earlier mixed"),
        ({1: Reading([0])}, "behind unit 1 reads unit 0, which is no earlier mixed one"),
        ({0: nn.Sequential(nn.BatchNorm1d(8))}, "behind unit 0 keeps running statistics in 0;"),
        ({0: ColumnMixer(behind=[nn.ReLU()])}, "is followed by 1 modules, not by 3"),
    ],
)
def test_what_mixers_cannot_have_is_refused(mixers: dict[int, nn.Module], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        ColumnNetworks(features("shared"), features_suite(), mixers)
