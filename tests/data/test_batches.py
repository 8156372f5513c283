"""Balanced batches: every example as often, in an order that can be continued."""

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from support.numbered import CPU, drawn, numbered

from mtl_framework.data import placement
from mtl_framework.data.batches import BalancedBatches, Batch
from mtl_framework.data.tasks import Suite
from mtl_framework.support.errors import MtlError

tasks_of = st.lists(
    st.tuples(st.integers(1, 12), st.one_of(st.none(), st.integers(1, 9))), min_size=1, max_size=4
)


@given(tasks_of, st.integers(1, 9), st.integers(0, 40), st.integers(0, 2**31 - 1))
def test_every_example_is_used_equally_often(
    sizes: list[tuple[int, int | None]], batch_size: int, steps: int, seed: int
) -> None:
    batches = BalancedBatches(numbered(sizes), batch_size, seed, CPU)
    found = drawn(batches, steps)
    for place, (rows, own) in enumerate(sizes):
        assert all(len(step[place]) == (own or batch_size) for step in found)
        counts = Counter(row for step in found for row in step[place])
        times = [counts[row] for row in range(rows)]
        assert sum(times) == steps * (own or batch_size)
        assert max(times) - min(times) <= 1


@settings(max_examples=30)
@given(tasks_of, st.integers(1, 9), st.integers(0, 12), st.booleans())
def test_continuing_from_a_state_equals_not_stopping(
    sizes: list[tuple[int, int | None]], batch_size: int, steps: int, common_input: bool
) -> None:
    if common_input:
        sizes = [(sizes[0][0], None) for _ in sizes]
    suite = numbered(sizes, common_input)
    batches = BalancedBatches(suite, batch_size, 1, CPU)
    drawn(batches, steps)
    state = batches.state_dict()
    expected = drawn(batches, 12)
    other = BalancedBatches(suite, batch_size, 2, CPU)
    drawn(other, 5)
    other.load_state_dict(state)
    assert drawn(other, 12) == expected
    other.load_state_dict(state)  # what was drawn since has not changed the state itself
    assert drawn(other, 12) == expected


@settings(max_examples=30)
@given(tasks_of, st.data())
def test_a_task_does_not_depend_on_the_others(sizes: list[Any], data: st.DataObject) -> None:
    suite = numbered(sizes)
    kept = data.draw(st.lists(st.sampled_from(suite.tasks), min_size=1, unique_by=id))
    full = drawn(BalancedBatches(suite, 4, 3, CPU), 8)
    part = drawn(BalancedBatches(Suite("other", kept), 4, 3, CPU), 8)
    for place, task in enumerate(kept):
        assert [step[place] for step in part] == [step[suite.index(task.name)] for step in full]


def test_orders_differ_by_task_and_seed_and_pass() -> None:
    suite = numbered([(50, None), (50, None)])
    first, second, third = drawn(BalancedBatches(suite, 50, 0, CPU), 3)
    assert len({tuple(order) for step in (first, second, third) for order in step}) == 6
    assert drawn(BalancedBatches(suite, 50, 1, CPU), 1) != [first]
    assert drawn(BalancedBatches(suite, 50, 0, CPU), 1) == [first]


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 4))
def test_common_input_is_one_tensor_with_every_tasks_targets(
    rows: int, batch_size: int, tasks: int
) -> None:
    batches = BalancedBatches(numbered([(rows, None)] * tasks, True), batch_size, 0, CPU)
    for _ in range(5):
        batch = batches.next()
        assert batch.common_input
        assert all(inputs is batch.inputs[0] for inputs in batch.inputs)
        assert batch.inputs[0].shape == (batch_size, 1)
        for place, targets in enumerate(batch.targets):
            torch.testing.assert_close(targets, batch.inputs[0][:, 0] + 100 * place)


def test_targets_belong_to_inputs() -> None:
    batches = BalancedBatches(numbered([(7, None), (5, 3)]), 4, 0, CPU)
    for _ in range(5):
        batch = batches.next()
        for place, (inputs, targets) in enumerate(zip(batch.inputs, batch.targets, strict=True)):
            assert torch.equal(targets, inputs[:, 0] + 100 * place)


def test_common_input_refuses_different_batch_sizes() -> None:
    suite = numbered([(5, None), (5, 3)], True)
    with pytest.raises(MtlError, match=r"batch_size is 4 for task 'task0' and 3 for task 'task1'"):
        BalancedBatches(suite, 4, 0, CPU)
    assert BalancedBatches(suite, 3, 0, CPU).next().inputs[0].shape == (3, 1)


def test_batch_size_is_positive() -> None:
    with pytest.raises(MtlError, match="batch_size should be at least 1, found 0"):
        BalancedBatches(numbered([(5, None)]), 0, 0, CPU)


def state_of(rows: int = 6) -> dict[str, Any]:
    return BalancedBatches(numbered([(rows, None), (4, None)]), 3, 9, CPU).state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"permutation": torch.arange(5)}, "of the 6 examples"),
        ({"permutation": torch.tensor([0, 1, 2, 3, 4, 4])}, "of the 6 examples"),
        ({"permutation": torch.arange(6.0)}, "of the 6 examples"),
        ({"permutation": list(range(6))}, "of the 6 examples"),
        ({"position": 7}, "from 0 to 6, found 7"),
        ({"position": -1}, "from 0 to 6, found -1"),
        ({"position": None}, "from 0 to 6, found None"),
        ({"generator": torch.zeros(3, dtype=torch.uint8)}, "generator"),
        ({"generator": 3}, "generator"),
        ({"more": 1}, "permutation, position and generator"),
    ],
)
def test_damaged_states(change: dict[str, Any], message: str) -> None:
    suite = numbered([(4, None), (6, None)])
    batches, twin = (BalancedBatches(suite, 3, 0, CPU) for _ in range(2))
    state = BalancedBatches(suite, 3, 9, CPU).state_dict()
    state["task1"] = {**state["task1"], **change}
    with pytest.raises(MtlError, match=f"task 'task1' does not fit: .*{message}"):
        batches.load_state_dict(state)
    assert drawn(batches, 4) == drawn(twin, 4)


def test_states_of_other_tasks() -> None:
    batches = BalancedBatches(numbered([(4, None)]), 3, 0, CPU)
    with pytest.raises(MtlError, match="of other tasks: task1"):
        batches.load_state_dict(state_of())


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": (torch.zeros(2),)},
        {"labelled": (None,)},
        {"starts": (True, False, True)},
        {"inputs": (torch.zeros(2, 1), torch.zeros(2, 1)), "common_input": True},
    ],
)
def test_a_batch_has_an_entry_a_task(wrong: dict[str, Any]) -> None:
    inputs = (torch.zeros(2, 1),) * 2
    targets = (torch.zeros(2),) * 2
    Batch(inputs, targets, True, (None, None), (False, True))
    with pytest.raises(ValueError, match="a batch"):
        Batch(**{"inputs": inputs, "targets": targets, **wrong})


def test_targets_beyond_the_limit_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another device than the batches; the meta device stands for a GPU."""
    suite = numbered([(5, None), (4, None)])
    monkeypatch.setattr(placement, "MOST_KEPT", 8)
    kept = placement.targets_on(torch.device("meta"), suite)
    assert [x.device.type for x in kept] == ["cpu", "cpu"]
    rows = torch.tensor([3, 1])
    taken = placement.rows_of(kept[0], rows, rows.to("meta"))
    assert (taken.device.type, taken.shape[0]) == ("meta", 2)
    assert torch.equal(placement.rows_of(kept[0], rows, rows), suite.tasks[0].train.targets[rows])
    monkeypatch.undo()
    assert placement.targets_on(torch.device("meta"), suite)[0].device.type == "meta"
