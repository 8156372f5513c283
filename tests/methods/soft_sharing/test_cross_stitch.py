"""Cross-stitch networks: what a step computes, against plain loops and by hand."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import CrossStitchConfig
from mtl_soft_sharing.network import CrossStitchNetworks
from mtl_soft_sharing.strategy import CrossStitch, mixed_units
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


class Loops:
    """Every column of every input by the plain model, unit by unit, with weights by name."""

    def __init__(self, network: CrossStitchNetworks, training: bool) -> None:
        self.network, self.training = network, training

    def run(self, inputs: Tensor, reads: list[int]) -> list[Tensor]:
        """Features of all columns for one task's input.

        Args:
            inputs: of the task.
            reads: for each column the task whose running averages it has.
        """
        network = self.network
        units = len(network.backbone.units)
        models = []
        for column, reader in enumerate(reads):
            model = network.extract_path(reader, [column] * units).train(self.training)
            if not network.backbone.heads_inside:
                model.set_submodule(network.backbone.classifier, nn.Identity())
            self._bind(model, column)
            models.append(model)
        waiting: list[Tensor] = [inputs] * len(models)
        return self._lockstep(models, waiting)

    def _bind(self, model: nn.Module, column: int) -> None:
        """Put the networks' own parameters into the plain model, so that gradients reach them."""
        own = dict(self.network.named_parameters(remove_duplicate=False))
        for name, _ in list(model.named_parameters()):
            found = self._name(name, column)
            parent, _, last = name.rpartition(".")
            model.get_submodule(parent)._parameters[last] = own[found]

    def _name(self, name: str, column: int) -> str:
        for places in self.network.backbone.places:
            for place in places:
                if name.startswith(place.names[0] + "."):
                    rest = name[len(place.names[0]) + 1 :]
                    return f"model.{place.names[0]}.copies.{column}.{rest}"
        return f"model.{name}"

    def _lockstep(self, models: list[nn.Module], inputs: list[Tensor]) -> list[Tensor]:
        """Run the models again and again: the u-th time what enters after unit u is known."""
        known: dict[int, list[Tensor]] = {}
        mixers = {int(unit): mixer for unit, mixer in self.network.mixers.items()}
        for unit in [*sorted(mixers), None]:
            outputs: list[list[Tensor]] = [[] for _ in models]
            finals = []
            for column, (model, x) in enumerate(zip(models, inputs, strict=True)):
                handles = []
                for done, values in known.items():
                    handles.append(
                        self._last(model, done).register_forward_hook(
                            lambda m, a, y, v=values[column]: v
                        )
                    )
                if unit is not None:

                    def keep(m: Any, a: Any, y: Tensor, found: Any = outputs[column]) -> None:
                        found.append(y)

                    handles.append(self._last(model, unit).register_forward_hook(keep))
                finals.append(model(x))
                for handle in handles:
                    handle.remove()
            if unit is None:
                return finals
            weight = mixers[unit].get_parameter("weight")
            at = self.network.backbone.units[unit].channel_dim
            mixed = []
            for t in range(len(models)):
                total = torch.zeros_like(outputs[0][0])
                for j in range(len(models)):
                    factor = weight[t, j]
                    if factor.ndim:
                        shape = [1] * (total.ndim - 1)
                        shape[at] = -1
                        factor = factor.view(shape)
                    total = total + factor * outputs[j][0]
                mixed.append(total)
            known[unit] = mixed
        raise AssertionError

    def _last(self, model: nn.Module, unit: int) -> nn.Module:
        return model.get_submodule(self.network.backbone.places[unit][-1].names[0])

    def step(self, batch: Batch) -> Tensor:
        """Mean losses of all tasks; leaves gradients of their mean on the parameters."""
        tasks = len(self.network.tasks)
        losses = []
        for task in range(tasks):
            reads = list(range(tasks)) if self.network.common_input else [task] * tasks
            features = self.run(batch.inputs[task], reads)[task]
            scores = self.network.heads[task](features)
            objective = self.network.tasks[task].objective
            losses.append(objective.losses(scores, batch.targets[task]).mean())
        found = torch.stack(losses)
        if self.training:
            found.mean().backward()
        return found.detach()


def compare(network: CrossStitchNetworks, batch: Batch, training: bool = True) -> None:
    network.train(training)
    expected = Loops(network, training).step(batch)
    if not training:
        with torch.no_grad():
            for task, task_inputs in enumerate(batch.inputs):
                scores = network.predict(task, task_inputs)
                objective = network.tasks[task].objective
                found = objective.losses(scores, batch.targets[task]).mean()
                torch.testing.assert_close(found, expected[task], **CLOSE)
        return
    wanted = gradients(network)
    network.zero_grad()
    torch.testing.assert_close(network.step(batch), expected, **CLOSE)
    ours = gradients(network)
    assert {name for name, g in wanted.items() if g.any()} <= set(ours)
    for name, gradient in ours.items():
        other = wanted.get(name, torch.zeros_like(gradient))
        torch.testing.assert_close(gradient, other, **CLOSE, msg=partial("{}: {}".format, name))


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

    def __init__(self, network: CrossStitchNetworks) -> None:
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
