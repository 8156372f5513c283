"""Steps that repeat are recorded and replayed: the same step to the bit, without a wait."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.makers import make_assignments, make_batch
from support.replayed import Replayed, counting
from test_task_networks import NARROW, networks
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtl_framework.data.batches import Batch
from mtl_framework.networks.repeated_steps import RepeatedSteps
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing import one_call
from mtl_framework.support.errors import MtlError

STEPS = 7
SHARED = torch.zeros(1, 8, 3, dtype=torch.int64)


def batches(network: TaskNetworks, **options: Any) -> list[Batch]:
    """Different ones of the same shapes."""
    first = make_batch(network.tasks, **options)
    found = []
    for step in range(STEPS):
        torch.manual_seed(step)
        moved = {id(x): x + torch.randn_like(x) for x in first.inputs}
        targets = tuple(t.roll(step) for t in first.targets)
        found.append(
            replace(first, inputs=tuple(moved[id(x)] for x in first.inputs), targets=targets)
        )
    return found


def train(
    network: TaskNetworks,
    given: Sequence[Batch],
    assignments: Sequence[Tensor],
    weights: Tensor | None = None,
) -> list[Tensor]:
    """Train by plain SGD; return the losses of every step."""
    torch.manual_seed(11)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    losses = []
    for batch, under in zip(given, assignments, strict=True):
        optimizer.zero_grad()
        losses.append(network.accumulate_gradients(batch, under, weights))
        optimizer.step()
    return losses


def same(one: TaskNetworks, other: TaskNetworks) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def check(
    network: TaskNetworks,
    given: Sequence[Batch],
    assignments: Sequence[Tensor],
    replays: int,
    weights: Tensor | None = None,
) -> None:
    """What is replayed ends where what is computed ends."""
    other, graph = copy.deepcopy(network), counting()
    other.repeated = RepeatedSteps(other, graph)
    wanted, found = (train(n, given, assignments, weights) for n in (network, other))
    assert torch.equal(torch.stack(wanted), torch.stack(found))
    assert same(network, other)
    assert graph.replays == replays


@pytest.mark.parametrize(
    ("group_major", "batched"),
    [
        (True, False),
        (False, True),
        pytest.param(True, True, marks=pytest.mark.long),
        pytest.param(False, False, marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_a_replayed_step_is_the_step(normalization: str, group_major: bool, batched: bool) -> None:
    network = networks("resnet18", normalization, settings=NARROW, group_major=group_major)
    network.batched_weights = batched
    assignment = make_assignments("random", 2, 8, 3, 3)
    check(network, batches(network), [assignment] * STEPS, STEPS - 3)


def test_losses_may_count_differently() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    assignment, weights = make_assignments("random", 2, 8, 3, 3), torch.rand(2, 3)
    check(network, batches(network), [assignment] * STEPS, STEPS - 3, weights.double())


def test_a_common_input_in_micro_batches() -> None:
    network = networks("resnet18", "shared", settings=NARROW)
    network.memory_budget = 1
    assignment = make_assignments("random", 4, 8, 3, 3)
    given = batches(network, common_input=True)
    assert len(network.plan(given[0], assignment).micro_batches) > 1
    check(network, given, [assignment] * STEPS, STEPS - 3)


def test_batches_of_unequal_sizes_in_micro_batches() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    network.memory_budget = 1
    assignment, weights = make_assignments("random", 4, 8, 3, 3), torch.rand(4, 3).double()
    given = batches(network, sizes=(2, 5, 2))
    assert len(network.plan(given[0], assignment).micro_batches) > 1
    check(network, given, [assignment] * STEPS, STEPS - 3, weights)


def test_dropout_draws_as_ever() -> None:
    settings = {"args": {"depth": 2, "drop_path_rate": 0.3, "proj_drop_rate": 0.2}}
    network = networks("vit_tiny_patch16_224", "shared", settings=settings)
    units = len(network.weights_per_unit)
    check(
        network, batches(network), [make_assignments("random", 2, units, 3, 3)] * STEPS, STEPS - 3
    )


def test_a_search_in_between_is_computed_and_what_comes_back_is_replayed() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    drawn = [make_assignments("random", 1, 8, 3, 3), make_assignments("different", 1, 8, 3, 3)]
    under = [SHARED] * 4 + [drawn[0], SHARED, drawn[1]]
    check(network, batches(network), under, 2)


def without_labels(batch: Batch) -> Batch:
    return replace(batch, labelled=(torch.arange(len(batch.inputs[0])) > 0, None, None))


def test_where_more_than_inputs_decides_nothing_is_replayed() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    given = batches(network)
    check(network, [without_labels(batch) for batch in given], [SHARED] * STEPS, 0)
    smaller = [
        replace(b, inputs=tuple(x[: 4 - n % 2] for x in b.inputs),
                targets=tuple(t[: 4 - n % 2] for t in b.targets))
        for n, b in enumerate(given)
    ]  # fmt: skip
    check(network, smaller, [SHARED] * STEPS, 0)


def test_gradients_that_stand_are_added_to() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    other, graph = copy.deepcopy(network), counting()
    other.repeated = RepeatedSteps(other, graph)
    given = batches(network)
    train(network, given, [SHARED] * STEPS)
    train(other, given, [SHARED] * STEPS)
    for each in (network, other):  # two passes to one step
        each.zero_grad()
        each.accumulate_gradients(given[0], SHARED)
        each.accumulate_gradients(given[1], SHARED)
    gradients = zip(network.parameters(), other.parameters(), strict=True)
    for a, b in gradients:
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or b.grad is None or torch.equal(a.grad, b.grad)
    assert graph.replays == STEPS - 3 + 1


def test_what_is_frozen_later_gets_no_gradient() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    network.repeated = RepeatedSteps(network, Replayed)
    given = batches(network)
    train(network, given, [SHARED] * STEPS)
    (frozen,) = {id(p): p for p in network.bank_parameters(0, 0)[:1]}.values()
    frozen.requires_grad_(False)
    before = frozen.clone()
    train(network, given, [SHARED] * STEPS)
    assert frozen.grad is None
    assert torch.equal(frozen, before)
    assert network.repeated.replays


def test_a_copy_of_the_networks_has_no_recording() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    network.repeated = RepeatedSteps(network, Replayed)
    assert copy.deepcopy(network).repeated is None


class Unrecordable(Replayed):
    def record(self, function: Any) -> None:
        raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")


def test_what_cannot_be_recorded_is_refused_in_a_line() -> None:
    network = networks("resnet18", "task", settings=NARROW)
    network.repeated = RepeatedSteps(network, Unrecordable)
    with pytest.raises(
        MtlError, match=r"cuda_graphs: .*not permitted when stream is capturing\); s"
    ):
        train(network, batches(network), [SHARED] * STEPS)


class HostCalls(TorchDispatchMode):
    """Names the calls for which a device would wait, or be handed something by the host."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        used = [*tree_leaves((args, kwargs)), *tree_leaves(result)]
        # a number of the host's is handed over with the call itself
        mixed = {x.device.type for x in used if isinstance(x, Tensor) and x.ndim}
        name = func.__name__.partition(".")[0]
        if len(mixed) > 1 or name in ("_local_scalar_dense", "nonzero", "lift_fresh"):
            self.found.append(f"{name}: {sorted(mixed)}")
        return result


SETTINGS: dict[str, Any] = {
    "resnet18": NARROW,
    "vit_tiny_patch16_224": {"args": {"depth": 1}},
    "mobilenetv3_small_050": {},
}


class Watched(Replayed):
    """Records on a device without values, and looks at what the host does meanwhile."""

    calls: tuple[str, ...] = ()

    def record(self, function: Any) -> None:
        with HostCalls() as host:
            super().record(function)
        Watched.calls += tuple(host.found)


@pytest.mark.parametrize(
    ("name", "normalization", "common_input", "batched"),
    [
        ("resnet18", "shared", True, False),
        ("resnet18", "task", False, True),
        pytest.param("resnet18", "task", False, False, marks=pytest.mark.long),
        pytest.param("resnet18", "pooled", False, False, marks=pytest.mark.long),
        ("vit_tiny_patch16_224", "shared", False, False),
        pytest.param("vit_tiny_patch16_224", "shared", False, True, marks=pytest.mark.long),
        pytest.param("mobilenetv3_small_050", "task", False, False, marks=pytest.mark.long),
    ],
)
def test_the_host_hands_a_recorded_step_nothing(
    name: str,
    normalization: str,
    common_input: bool,
    batched: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the meta device, whose rows lie as on a GPU."""
    network = networks(name, normalization, settings=SETTINGS[name], group_major=False)
    network = network.float().to("meta")
    # that device has no reduced precision to be asked for
    monkeypatch.setattr(network, "autocast", lambda _: nullcontext())
    monkeypatch.setattr(one_call, "_batchable", lambda _: nullcontext())
    network.batched_weights = batched
    monkeypatch.setattr(Watched, "calls", ())
    network.repeated = RepeatedSteps(network, Watched)
    batch = make_batch(network.tasks, common_input=common_input, dtype=torch.float32)
    moved = {id(x): x.to("meta") for x in batch.inputs}
    batch = replace(
        batch,
        inputs=tuple(moved[id(x)] for x in batch.inputs),
        targets=tuple(t.to("meta") for t in batch.targets),
    )
    under = make_assignments("random", 2, len(network.weights_per_unit), 3, 3)
    weights = torch.rand(2, 3)
    train(network, [batch] * 4, [under] * 4, weights)
    assert network.repeated.replays
    assert Watched.calls == ()
