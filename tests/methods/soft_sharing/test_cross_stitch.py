"""Cross-stitch networks: what a step computes, against plain loops and by hand."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import CrossStitchConfig
from mtl_soft_sharing.network import CrossStitchNetworks
from mtl_soft_sharing.strategy import CrossStitch, mixed_units
from mtl_soft_sharing.unit import CrossStitchUnit
from support.dense import Dense, binary_suite, dense_backbone
from support.makers import make_backbone, make_batch, make_tasks
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Examples, Suite
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.support.errors import MtlError

CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}
NARROW: dict[str, Any] = {"args": {"channels": (8, 12, 16, 20)}}
# models of small images, with the options that keep them small
MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {**NARROW, "granularity": "stage"},
    "swin_tiny_patch4_window7_224": {
        "granularity": "stage",
        "args": {"depths": (1, 1, 1, 1), "embed_dim": 12, "drop_path_rate": 0.0},
    },
    "vit_tiny_patch16_224": {"args": {"depth": 2, "embed_dim": 24}},
}


def images_suite(classes: Any = (2, 3)) -> Suite:
    return Suite("drawn", make_tasks(classes))


def networks(
    backbone: Backbone,
    suite: Suite,
    mixing: str = "scalar",
    own_weight: float = 0.9,
    group_major: bool = True,
    after: Any = "block",
) -> CrossStitchNetworks:
    """In float64, with mixing weights and running averages that differ from place to place."""
    torch.manual_seed(1)
    mixed = mixed_units(after, backbone)
    network = CrossStitchNetworks(backbone, suite, mixed, own_weight, mixing == "channel")
    network.planner.group_major = group_major
    stirred(network.double())
    return network


def stirred(network: Any) -> Any:
    generator = torch.Generator().manual_seed(2)

    def noise(tensor: Tensor) -> Tensor:
        return torch.rand(tensor.shape, generator=generator, dtype=torch.float64)

    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        # batch norms that end a residual branch start with 0
        if "mixers" in name or "running" in name or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.data += 0.3 * noise(tensor)
    return network


def features(normalization: str) -> Backbone:
    """Two dense units with batch norms behind a shared stem with one."""
    config = BackboneConfig(name="dense", normalization=normalization, args={"norm": True})
    return build_backbone(config, 6, None, Dense, input_shape=(6,))


def features_suite(common_input: bool = False, tasks: int = 3) -> Suite:
    suite = binary_suite(tasks)
    inputs = suite.tasks[0].train.inputs
    if not common_input:
        return suite
    parts = [Examples(inputs, task.train.targets) for task in suite.tasks]
    found = [replace(t, train=part, test=part) for t, part in zip(suite.tasks, parts, strict=True)]
    return Suite("common", found, common_input=True)


def one_stem(network: CrossStitchNetworks) -> None:
    """Let the stem's averages be those of task 0 for all tasks, as training has them."""
    for buffer in network.model.get_submodule("stem").buffers():
        buffer.copy_(buffer[:1].clone() if buffer.ndim == 2 else buffer.clone())


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


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


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


# -- what it means --------------------------------------------------------------------------------


def identity(network: CrossStitchNetworks) -> None:
    for mixer in network.mixers.values():
        assert isinstance(mixer, CrossStitchUnit)
        weight = torch.eye(len(mixer.weight), dtype=torch.float64)
        mixer.weight.data = (
            weight if mixer.weight.ndim == 2 else weight[..., None].expand_as(mixer.weight).clone()
        )


@pytest.mark.parametrize(
    ("kind", "mixing", "common_input"),
    [
        ("features", "scalar", False),
        ("features", "channel", True),
        ("images", "scalar", False),
    ],
)
def test_identity_mixing_is_no_sharing(kind: str, mixing: str, common_input: bool) -> None:
    """Losses, gradients but those of the mixtures, and with averages a task predictions."""
    if kind == "images":
        backbone = make_backbone("resnet18", normalization="task", **MODELS["resnet18"])
        suite = images_suite()
    else:
        backbone, suite = features("task"), features_suite(common_input)
    network = networks(backbone, suite, mixing)
    identity(network)
    plain = TaskNetworks(backbone, suite.tasks, len(suite), group_major=True).double()
    state = {n: v for n, v in network.state_dict().items() if not n.startswith("mixers.")}
    plain.load_state_dict(state)
    batch = make_batch(suite.tasks, common_input=common_input)
    expected = plain.accumulate_gradients(batch, plain.assignment[None])[0]
    torch.testing.assert_close(network.step(batch), expected, **CLOSE)
    wanted = gradients(plain)
    found = {n: g for n, g in gradients(network).items() if not n.startswith("mixers.")}
    assert set(wanted) == set(found)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], **CLOSE)
    network.eval()
    plain.eval()
    for task, inputs in enumerate(batch.inputs):
        torch.testing.assert_close(
            network.predict(task, inputs), plain.predict(task, inputs), **CLOSE
        )


@pytest.mark.parametrize("common_input", [True, False])
def test_permuted_tasks_have_permuted_outputs(common_input: bool) -> None:
    backbone, order = features("shared"), [2, 0, 1]
    suite = features_suite(common_input)
    network = networks(backbone, suite).eval()
    other_suite = Suite("permuted", [suite.tasks[t] for t in order], common_input=common_input)
    other = networks(backbone, other_suite).eval()
    state = network.state_dict()
    for name in state:
        parts = name.split(".")
        if "copies" in parts:
            at = parts.index("copies") + 1
        elif parts[0] == "heads":
            at = 1
        else:
            if parts[0] == "mixers":
                other.get_parameter(name).data = state[name][order][:, order]
            continue
        source = ".".join([*parts[:at], str(order[int(parts[at])]), *parts[at + 1 :]])
        other.state_dict()[name].copy_(state[source])
    inputs = make_batch(suite.tasks).inputs[0]
    for position, task in enumerate(order):
        torch.testing.assert_close(
            other.predict(position, inputs), network.predict(task, inputs), **CLOSE
        )


def test_a_network_of_four_units_worked_by_hand() -> None:
    """Two tasks, two mixed units of one feature each: numbers that a person can follow.

    The stem passes x on. Column A: 2x, then 3x; column B: 5x, then 7x, rectified. After unit one
    a = 0.9 A + 0.1 B, b = 0.2 A + 0.8 B; after unit two the same with 0.7, 0.3, 0.4, 0.6.
    """
    backbone = dense_backbone(1, width=1)
    suite = binary_suite(2, 1)
    network = CrossStitchNetworks(backbone, suite, [0, 1], 0.9, False).double()
    for parameter in network.parameters():
        parameter.data.zero_()
    network.model.get_parameter("stem.0.weight").data.fill_(1)
    for unit, values in (("one", (2.0, 5.0)), ("two", (3.0, 7.0))):
        for column, value in enumerate(values):
            name = f"{unit}.copies.{column}.0.weight"
            network.model.get_parameter(name).data.fill_(value)
    mixtures = ([[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]])
    for mixer, mixture in zip(network.mixers.values(), mixtures, strict=True):
        mixer.get_parameter("weight").data = torch.tensor(mixture, dtype=torch.float64)
    for head in network.heads:
        head.get_parameter("weight").data.fill_(1)
    one = torch.ones(1, 1, dtype=torch.float64)
    # x = 1: A = 2, B = 5; a = 2.3, b = 4.4; 3a = 6.9, 7b = 30.8
    # task A: 0.7 * 6.9 + 0.3 * 30.8 = 14.07; task B: 0.4 * 6.9 + 0.6 * 30.8 = 21.24
    torch.testing.assert_close(network.predict(0, one), 14.07 * one, **CLOSE)
    torch.testing.assert_close(network.predict(1, one), 21.24 * one, **CLOSE)
    # inputs of their own: task A reads 1, task B reads 2
    network.train()
    batch = Batch((one, 2 * one), (torch.tensor([0]), torch.tensor([0])))
    losses = network.step(batch)
    expected = [
        torch.log1p(torch.exp(torch.tensor(v, dtype=torch.float64))) for v in (14.07, 42.48)
    ]
    torch.testing.assert_close(losses, torch.stack(expected), **CLOSE)
    first, second = (mixer.get_parameter("weight").grad for mixer in network.mixers.values())
    assert first is not None
    assert second is not None
    slopes = [
        float(torch.sigmoid(torch.tensor(v, dtype=torch.float64))) / 2 for v in (14.07, 42.48)
    ]
    # equation 1, not the transposed equation 3: dL/da_AB = dL/dx~_A * x_B
    by_hand = [[slopes[0] * 6.9, slopes[0] * 30.8], [slopes[1] * 13.8, slopes[1] * 61.6]]
    torch.testing.assert_close(second, torch.tensor(by_hand, dtype=torch.float64), **CLOSE)
    # through unit two: task A reaches a by 0.7 * 3, b by 0.3 * 7; task B by 0.4 * 3 and 0.6 * 7
    at_a = slopes[0] * 2.1 * 1 + slopes[1] * 1.2 * 2  # times A = 2 or B = 5 a unit of input
    at_b = slopes[0] * 2.1 * 1 + slopes[1] * 4.2 * 2
    by_hand = [[at_a * 2, at_a * 5], [at_b * 2, at_b * 5]]
    torch.testing.assert_close(first, torch.tensor(by_hand, dtype=torch.float64), **CLOSE)


def test_a_unit_starts_convex() -> None:
    weight = CrossStitchUnit(5, 0.8).weight.detach()
    torch.testing.assert_close(weight.sum(1), torch.ones(5))
    assert torch.allclose(weight.diagonal(), torch.tensor(0.8))
    assert torch.allclose(weight[0, 1:], torch.tensor(0.05))
    assert CrossStitchUnit(1, 0.9).weight.tolist() == [[1.0]]
    assert CrossStitchUnit(3, 0.9, 7).weight.shape == (3, 3, 7)


@pytest.mark.parametrize("common_input", [True, False])
def test_a_task_without_labels_leaves_the_others_alone(common_input: bool) -> None:
    """Its column still runs for the others; its own loss and head count for nothing."""
    network = networks(features("shared"), features_suite(common_input))
    batch = make_batch(network.tasks, common_input=common_input)
    whole = network.step(batch)
    network.zero_grad()
    none = torch.zeros(len(batch.inputs[1]), dtype=torch.bool)
    batch = replace(batch, labelled=(None, none, None))
    losses = network.step(batch)
    assert losses[1] == 0
    torch.testing.assert_close(losses[::2], whole[::2], **CLOSE)
    assert all(p.grad is None for p in network.head_parameters(1))
    column = [p.grad for p in network.bank_parameters(0, 1)]
    assert all(g is not None and bool(g.isfinite().all()) for g in column)


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
