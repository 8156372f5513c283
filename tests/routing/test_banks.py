"""Weight banks and the networks built from them: what is not the oracle's business."""

import copy
from typing import Any, cast

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.makers import make_assignments, make_backbone, make_batch, make_tasks
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing.layout import RowLayout, merge_groups, split_groups
from mtl_framework.routing.micro_batches import MicroBatch, plan_micro_batches
from mtl_framework.routing.plan import RouteError
from mtl_framework.support.errors import MtlError

SMALL: dict[str, dict[str, Any]] = {  # the same in less time
    "resnet18": {"channels": (16, 24, 32, 40)},
    "resnetv2_18": {"channels": (16, 24, 32, 40), "layers": (1, 2, 1, 1)},
    "convnext_atto": {"depths": (1, 2, 1, 1)},
    "coat_tiny": {"serial_depths": (1, 1, 1, 1), "parallel_depth": 1},
}


def make_network(name: str = "resnet18", weights: int = 3, **options: Any) -> TaskNetworks:
    args = options.pop("args", SMALL.get(name, {}))
    settings = {k: options.pop(k) for k in ("normalization",) if k in options}
    backbone, tasks = make_backbone(name, args=args, **settings), make_tasks()
    torch.manual_seed(0)
    return TaskNetworks(backbone, tasks, weights, **options)


def gradients(network: TaskNetworks) -> dict[str, Tensor]:
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
@pytest.mark.parametrize("common_input", [False, True])
def test_parts_within_a_budget_change_nothing(normalization: str, common_input: bool) -> None:
    """Losses, gradients and statistics are those of one pass, however it is cut."""
    narrow = {"channels": (8, 16, 24, 32)}
    whole = make_network(normalization=normalization, args=narrow).double()
    assignments = make_assignments("random", 4, 8, 3, 3)
    batch = make_batch(whole.tasks, sizes=12, common_input=common_input)
    outcomes, parts = [], []
    for budget in (None, 1, 5):  # all at once; as little as possible; some together
        network = copy.deepcopy(whole)
        network.memory_budget = budget
        losses = network.accumulate_gradients(batch, assignments)
        outcomes.append((losses, gradients(network), dict(network.named_buffers())))
        parts.append(len(network.plan(batch, assignments).micro_batches))
    assert 1 == parts[0] < parts[2] <= parts[1]
    for losses, grads, buffers in outcomes[1:]:
        torch.testing.assert_close(losses, outcomes[0][0], rtol=1e-10, atol=1e-10)
        for found, expected in ((grads, outcomes[0][1]), (buffers, outcomes[0][2])):
            assert set(found) == set(expected)
            for name, value in found.items():
                torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(
    st.integers(1, 6),
    st.lists(st.sampled_from([2, 4]), min_size=1, max_size=6),
    st.integers(1, 40),
    st.booleans(),
)
def test_micro_batches_hold_every_column_once(
    samples: int, sizes: list[int], budget: int, whole_samples: bool
) -> None:
    def cost(micro_batch: MicroBatch) -> int:
        return len(micro_batch.samples) * sum(sizes[task] for task in micro_batch.tasks)

    if whole_samples:
        sizes = [2] * len(sizes)
    micro_batches = plan_micro_batches(
        samples,
        dict(enumerate(sizes)),
        budget,
        cost,
        whole_samples=whole_samples,
        whole_tasks=False,
    )
    columns = [
        (s, t)
        for micro_batch in micro_batches
        for s in micro_batch.samples
        for t in micro_batch.tasks
    ]
    assert sorted(columns) == [(s, t) for s in range(samples) for t in range(len(sizes))]
    for micro_batch in micro_batches:
        assert len({sizes[task] for task in micro_batch.tasks}) == 1
        smallest = len(micro_batch.samples) == 1 and (whole_samples or len(micro_batch.tasks) == 1)
        assert cost(micro_batch) <= budget or smallest
        if whole_samples:
            assert len(micro_batch.tasks) == len(sizes)


@pytest.mark.parametrize("normalization", ["shared", "pooled"])
def test_recomputing_activations_changes_nothing(normalization: str) -> None:
    options: dict[str, Any] = {
        "normalization": normalization,
        "args": {"channels": (8, 16, 24, 32)},
    }
    kept = make_network(**options).double()
    again = make_network(checkpoint=True, **options).double()
    batch = make_batch(kept.tasks)
    assignments = make_assignments("random", 3, 8, 3, 3)
    for network in (kept, again):
        network.accumulate_gradients(batch, assignments)
    for name, gradient in gradients(kept).items():
        torch.testing.assert_close(gradients(again)[name], gradient, rtol=1e-12, atol=1e-12)
    for (name, a), (_, b) in zip(kept.named_buffers(), again.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_the_models_own_checkpointing_is_refused() -> None:
    network = make_network()
    with pytest.raises(MtlError, match="checkpoint=True"):
        cast(Any, network.model).set_grad_checkpointing()


def test_losses_is_differentiable_and_equals_accumulate_gradients() -> None:
    one, two = make_network().double(), make_network().double()
    batch = make_batch(one.tasks, sizes=(2, 3, 2))
    assignments = make_assignments("random", 3, 8, 3, 3)
    losses = one.losses(batch, assignments)
    losses.mean().backward()
    torch.testing.assert_close(two.accumulate_gradients(batch, assignments), losses.detach())
    for name, gradient in gradients(one).items():
        torch.testing.assert_close(gradients(two)[name], gradient, rtol=1e-10, atol=1e-10)


def test_weights_that_no_path_uses_get_no_gradient() -> None:
    network = make_network()
    batch = make_batch(network.tasks, dtype=torch.float32)
    network.accumulate_gradients(batch, torch.ones(2, 8, 3, dtype=torch.int64))
    for unit in range(8):
        assert all(p.grad is not None for p in network.bank_parameters(unit, 1))
        assert all(p.grad is None for k in (0, 2) for p in network.bank_parameters(unit, k))


def test_copies_start_from_different_models() -> None:
    network = make_network()
    for unit in range(8):
        first, second = network.bank_parameters(unit, 0)[0], network.bank_parameters(unit, 1)[0]
        assert not torch.equal(first, second)
    # copy k of every unit comes from the k-th model that the seed gives
    torch.manual_seed(0)
    models = [network.backbone.create(2) for _ in range(3)]
    for k, model in enumerate(models):
        assert torch.equal(
            network.bank_parameters(3, k)[0], model.get_parameter("layer2.1.conv1.weight")
        )


def test_parameters_are_found_by_part() -> None:
    network = make_network()
    units = sum(u.num_parameters for u in network.backbone.units)
    banked = [p for unit in range(8) for k in range(3) for p in network.bank_parameters(unit, k)]
    heads = [p for task in range(3) for p in network.head_parameters(task)]
    shared = network.shared_parameters()
    assert sum(p.numel() for p in banked) == 3 * units
    assert {id(p) for p in [*banked, *heads, *shared]} == {id(p) for p in network.parameters()}
    assert len(banked) + len(heads) + len(shared) == len(list(network.parameters()))
    counts = network.parameter_counts()
    head = sum(p.numel() for p in heads)
    assert counts.trained == 3 * units + head + sum(p.numel() for p in shared)
    assert counts.deployed == units + head + sum(p.numel() for p in shared)
    network.assignment[4:, 1] = 2
    more = sum(u.num_parameters for u in network.backbone.units[4:])
    assert network.parameter_counts().deployed == counts.deployed + more
    sharing = network.sharing()
    assert sharing is not None
    assert torch.equal(sharing.weights, network.assignment)


@pytest.mark.parametrize("normalization", ["shared", "task"])
@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "coat_tiny", "resnetv2_18"])
def test_extracted_networks_are_timms_own(name: str, normalization: str) -> None:
    torch.manual_seed(0)
    backbone = make_backbone(name, 64, args=SMALL[name], normalization=normalization)
    network = TaskNetworks(backbone, make_tasks(shape=(3, 64, 64)), 3)
    batch = make_batch(network.tasks, dtype=torch.float32)
    units = len(backbone.units)
    with torch.no_grad():
        network.losses(batch, make_assignments("random", 3, units, 3, 3))  # moves the statistics
    network.assignment.copy_(make_assignments("random", 1, units, 3, 3)[0])
    network.eval()
    x = torch.rand(3, 3, 64, 64) * 4
    state = torch.get_rng_state()
    for task, classes in enumerate((2, 3, 5)):
        plain = network.extract(task)
        again = timm.create_model(name, num_classes=classes, **backbone.recipe.args).eval()
        assert type(plain) is type(again)
        again.load_state_dict(plain.state_dict())
        with torch.no_grad():
            expected = network.predict(task, x)
            torch.testing.assert_close(plain(x), expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(again(x), expected, rtol=1e-5, atol=1e-5)
    torch.set_rng_state(state)


def test_predicting_leaves_statistics_alone_even_in_training_mode() -> None:
    network = make_network()
    before = {name: b.clone() for name, b in network.named_buffers()}
    network.predict(1, torch.rand(4, 3, 32, 32))
    assert all(torch.equal(b, before[name]) for name, b in network.named_buffers())


def test_he_uniform_has_the_bound_of_the_paper() -> None:
    network = make_network()
    network.initialize("he_uniform")
    weight = network.bank_parameters(0, 1)[0]  # 64 -> 16, 3x3
    bound = (6 / (64 * 9)) ** 0.5
    assert bound * 0.99 < float(weight.detach().abs().max()) <= bound
    with pytest.raises(MtlError, match="xavier"):
        network.initialize("xavier")


def test_bad_arguments_are_named() -> None:
    network = make_network()
    batch = make_batch(network.tasks, dtype=torch.float32)
    good = torch.zeros(2, 8, 3, dtype=torch.int64)
    with pytest.raises(MtlError, match=r"8 units, 3 tasks"):
        network.losses(batch, good[:, :7])
    with pytest.raises(MtlError, match=r"weight 3 of unit 'layer1.0', which has 3"):
        network.losses(batch, good + 3)
    with pytest.raises(MtlError, match="at least 0, found -1"):
        network.losses(batch, good - 1)
    with pytest.raises(MtlError, match="holds 2 tasks"):
        network.losses(Batch(batch.inputs[:2], batch.targets[:2]), good)
    backbone = network.backbone
    with pytest.raises(MtlError, match="at least 1, found 0"):
        TaskNetworks(backbone, network.tasks, 0)
    with pytest.raises(MtlError, match=r"3 entries.*8 units"):
        TaskNetworks(backbone, network.tasks, [1, 2, 3])
    pooled = make_network(normalization="pooled")
    with pytest.raises(MtlError, match=r"'pooled' needs one batch size.*\[2, 4\]"):
        pooled.losses(make_batch(pooled.tasks, (4, 2, 4), dtype=torch.float32), good)


def test_state_of_before_the_model_was_called_model_loads() -> None:
    network, other = make_network(), make_network()
    state = {key: value + 1 for key, value in network.state_dict().items()}
    older = {key.replace("model.", "inside.skeleton.", 1): state[key] for key in state}
    older = {key if "inside" in key else f"inside.{key}": v for key, v in older.items()}
    assert any(key.startswith("inside.skeleton.") for key in older)
    nn.ModuleDict({"inside": other}).load_state_dict(older)
    for key, value in other.state_dict().items():
        assert torch.equal(value, state[key])


def test_a_failed_pass_leaves_no_statistics_behind() -> None:
    network = make_network()
    batch = make_batch(network.tasks, dtype=torch.float32)
    before = {name: b.clone() for name, b in network.named_buffers()}
    bad = Batch(batch.inputs, (batch.targets[0], batch.targets[1], batch.targets[2] + 99))
    with pytest.raises(IndexError):
        network.losses(bad, torch.zeros(1, 8, 3, dtype=torch.int64))
    network.losses(batch, torch.ones(1, 8, 3, dtype=torch.int64))
    for unit, bank in enumerate(network.banks()):
        for key, value in bank.copies[0].named_buffers():
            name = f"model.{network.backbone.units[unit].places[0]}.copies.0.{key}"
            assert torch.equal(value, before[name])


def test_banks_refuse_calls_outside_a_pass_and_wrong_rows() -> None:
    network = make_network()
    bank = next(network.banks())
    with pytest.raises(RouteError, match="outside a pass"):
        bank(torch.rand(2, 64, 8, 8))
    step = network.plan(
        make_batch(network.tasks, dtype=torch.float32), torch.zeros(1, 8, 3, dtype=torch.int64)
    )
    with (
        bank.forward_pass.running(step.micro_batches[0][1], False),
        pytest.raises(RouteError, match="got 5 rows, its paths have 12"),
    ):
        bank(torch.rand(5, 64, 8, 8))


def test_plain_attributes_of_a_block_can_be_read_but_not_its_weights() -> None:
    bank = next(make_network().banks())
    assert bank.stride == bank.copies[0].stride
    with pytest.raises(AttributeError, match="cannot say which"):
        bank.conv1  # noqa: B018
    with pytest.raises(AttributeError):
        bank.nonsense  # noqa: B018


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2**31),
    st.booleans(),
    st.booleans(),
)
def test_split_and_merge_are_selections_with_their_gradients(
    examples: int, groups: int, inner: int, seed: int, group_major: bool, images: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tail = (2, 3, 4) if images else (2,)
    x = torch.randn(examples * groups * inner, *tail, generator=generator, dtype=torch.float64)
    if images:
        x = x.contiguous(memory_format=torch.channels_last)
    layout = RowLayout(examples, groups, group_major)
    sources = [torch.randint(0, groups, (n,), generator=generator) for n in (1, 2, 4)]
    targets = list(torch.randperm(7, generator=generator).split([1, 2, 4]))
    x.requires_grad_()
    parts = split_groups(x, sources, layout)
    after = RowLayout(examples, 7, group_major)
    merged = merge_groups(parts, targets, after)
    view = layout.split_first(x)
    expected = torch.empty(examples, 7, inner, *tail, dtype=torch.float64)
    for source, target in zip(sources, targets, strict=True):
        expected[:, target] = view[:, source]
    found_rows = after.split_first(merged)
    assert torch.equal(found_rows, expected)
    weight = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (found,) = torch.autograd.grad((found_rows * weight).sum(), x)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), x)
    torch.testing.assert_close(found, wanted)
