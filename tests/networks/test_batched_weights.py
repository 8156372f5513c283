"""All weights of a unit in one call: the same step, in fewer calls."""

from typing import Any

import pytest
import torch
from support.makers import make_assignments, make_batch, make_tasks
from test_task_networks import NARROW, compare, networks
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.backbones.module_backbone import ModuleBackbone
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.support.errors import MtlError


def batched(name: str, normalization: str = "shared", **options: Any) -> TaskNetworks:
    network = networks(name, normalization, **options)
    network.batched_weights = True
    return network


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv3_small_050",
        "vit_tiny_patch16_224",
        "convnext_atto",
        "resnetv2_18",  # a norm is a unit's weight by itself
        "tnt_s_legacy_patch16_224",  # several rows an example
        pytest.param("hrnet_w18_small", marks=pytest.mark.long),  # several arguments and results
        pytest.param("levit_128s", marks=pytest.mark.long),
        pytest.param("coat_tiny", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("group_major", [True, False])
def test_backbones_agree_with_the_loops(name: str, group_major: bool) -> None:
    network = batched(name, group_major=group_major)
    units, tasks = len(network.weights_per_unit), len(network.tasks)
    compare(network, make_batch(network.tasks), make_assignments("random", 3, units, tasks, 3))


@pytest.mark.parametrize("kind", ["random", "repeated", "different"])
@pytest.mark.parametrize("branching", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
@pytest.mark.parametrize("group_major", [True, False])
def test_modes_and_plans_agree_with_the_loops(
    normalization: str, branching: bool, kind: str, group_major: bool
) -> None:
    network = batched(
        "resnet18", normalization, settings=NARROW, branching=branching, group_major=group_major
    )
    compare(network, make_batch(network.tasks), make_assignments(kind, 4, 8, 3, 3))


@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
@pytest.mark.parametrize("group_major", [True, False])
def test_evaluation_agrees_with_the_loops(
    normalization: str, common_input: bool, group_major: bool
) -> None:
    network = batched(
        "resnet18", normalization, settings=NARROW, training=False, group_major=group_major
    )
    batch = make_batch(network.tasks, common_input=common_input)
    compare(network, batch, make_assignments("repeated", 4, 8, 3, 3), False)


@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_a_common_input_in_parts_agrees_with_the_loops(normalization: str) -> None:
    network = batched("resnet18", normalization, settings=NARROW)
    network.memory_budget = 1
    batch = make_batch(network.tasks, common_input=True)
    assignments = make_assignments("random", 4, 8, 3, 3)
    assert len(network.plan(batch, assignments).micro_batches) > 1
    compare(network, batch, assignments)


def test_predictions_are_those_of_one_call_a_weight() -> None:
    network = batched("resnet18", "task", settings=NARROW, training=False)
    assignments = make_assignments("random", 4, 8, 3, 3)
    x = torch.randn(5, 3, 32, 32, dtype=torch.float64)
    network.batched_weights = False
    wanted = network.features_under(assignments, 1, x)
    network.batched_weights = True
    torch.testing.assert_close(network.features_under(assignments, 1, x), wanted)


def test_reduced_precision_agrees_up_to_rounding() -> None:
    network = networks("resnet18", "task", settings=NARROW).float()
    batch = make_batch(network.tasks, dtype=torch.float32)
    assignments = make_assignments("random", 4, 8, 3, 3)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    wanted = network.losses(batch, assignments).detach()
    statistics = {name: b.clone() for name, b in network.named_buffers()}
    network.load_state_dict(state)
    network.batched_weights, network.precision = True, "bf16"
    found = network.accumulate_gradients(batch, assignments)
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)
    for name, buffer in network.named_buffers():
        assert buffer.dtype == statistics[name].dtype
        torch.testing.assert_close(buffer, statistics[name], rtol=0.1, atol=0.1)


def test_activations_that_are_recomputed_are_called_weight_by_weight() -> None:
    network = batched("resnet18", settings=NARROW, checkpoint=True)
    compare(network, make_batch(network.tasks), make_assignments("random", 4, 8, 3, 3))


def test_a_budget_counts_the_copies_of_weights() -> None:
    network = networks("resnet18", "shared", settings={"args": {"channels": (64, 128, 256, 512)}})
    network.memory_budget = 64
    batch, assignments = make_batch(network.tasks), make_assignments("different", 3, 8, 3, 3)
    plain = len(network.plan(batch, assignments).micro_batches)
    network.batched_weights = True
    assert len(network.plan(batch, assignments).micro_batches) > plain


class Calls(TorchDispatchMode):
    """Names of the operations that torch runs, which a GPU would be sent one by one."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_layer_is_one_call_for_all_weights() -> None:
    network = networks("resnet18", "task", weights=6, settings=NARROW, group_major=False)
    batch, assignments = make_batch(network.tasks), make_assignments("different", 4, 8, 3, 6)
    numbers = []
    for in_one_call in (False, True):
        network.batched_weights = in_one_call
        network.zero_grad()
        with Calls() as calls:
            network.accumulate_gradients(batch, assignments)
        numbers.append((calls.names.count("convolution"), len(calls.names)))
    (convolutions, everything), (batched_convolutions, fewer) = numbers
    own = sum(isinstance(module, nn.Conv2d) for module in network.extract(0).modules())
    used = len(set(assignments[:, 0].flatten().tolist()))
    assert batched_convolutions == own
    assert convolutions == used * (own - 1) + 1  # the stem is shared
    assert fewer < everything / 2


class Choosing(nn.Module):
    """A network whose second unit looks at values, which no batched call can."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(192, 8), Looking()
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.second(self.first(x.flatten(1))))
        return result


class Looking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y if bool((y > 0).any()) else -y


def test_what_cannot_run_in_one_call_is_refused_in_one_line() -> None:
    tasks = make_tasks(shape=(3, 8, 8))
    factory = ModuleBackbone(Choosing, units=["first", "second"])
    backbone = build_backbone(BackboneConfig(name="choosing"), 3, (8, 8), factory)
    network = TaskNetworks(backbone, tasks, 3).double().train()
    network.batched_weights = True
    with pytest.raises(
        MtlError, match=r"batched_weights: .* unit 1 \(Looking\) cannot run in one call"
    ):
        network.losses(make_batch(tasks), make_assignments("different", 3, 2, 3, 3))


def test_dropout_draws_for_every_path() -> None:
    network = batched(
        "vit_tiny_patch16_224", settings={"args": {"depth": 2, "proj_drop_rate": 0.5}}
    )
    assignments = torch.zeros(6, len(network.weights_per_unit), 3, dtype=torch.int64)
    assignments[3:, 0] = 1
    assignments[:, 1] = torch.arange(6).remainder(3)[:, None]
    losses = network.losses(make_batch(network.tasks), assignments)
    assert len(set(losses.flatten().tolist())) == losses.numel()


def test_frozen_weights_stay_frozen() -> None:
    network = batched("resnet18", settings=NARROW)
    for parameter in network.bank_parameters(2, 1):
        parameter.requires_grad_(False)
    network.accumulate_gradients(
        make_batch(network.tasks), make_assignments("different", 3, 8, 3, 3)
    )
    assert all(p.grad is None for p in network.bank_parameters(2, 1))
    assert all(p.grad is not None for p in network.bank_parameters(2, 0))
