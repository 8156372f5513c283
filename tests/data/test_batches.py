from collections import Counter
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from support.typed import stored

from mtl_framework.data.batches import BalancedBatches, Batch, evaluation_batches
from mtl_framework.data.held_out import stratified_share
from mtl_framework.data.images import ImageNormalization, prepare
from mtl_framework.data.tasks import Classification, Examples, Regression, Suite, Task
from mtl_framework.support.errors import MtlError

CPU = torch.device("cpu")

tasks_of = st.lists(
    st.tuples(st.integers(1, 12), st.one_of(st.none(), st.integers(1, 9))), min_size=1, max_size=4
)


def numbered(sizes: Sequence[tuple[int, int | None]], common_input: bool = False) -> Suite:
    """Inputs and targets of a task are its examples' numbers."""
    tasks, first = [], None
    for place, (rows, batch_size) in enumerate(sizes):
        inputs = torch.arange(rows, dtype=torch.float32)[:, None]
        if common_input:
            inputs = first = inputs if first is None else first
        data = Examples(inputs, inputs[:, 0] + 100 * place)
        tasks.append(Task(f"task{place}", Regression(), data, data, batch_size=batch_size))
    return Suite("s", tasks, common_input)


def drawn(batches: BalancedBatches, steps: int) -> list[list[list[int]]]:
    """Numbers of the examples, by step and task."""
    return [[x[:, 0].long().tolist() for x in batches.next().inputs] for _ in range(steps)]


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


# -- states that do not fit change nothing ---------------------------------------------------------


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


# -- what a network reads --------------------------------------------------------------------------


def test_prepare_scales_and_normalizes_bytes() -> None:
    images = torch.randint(256, (5, 3, 2, 4), dtype=torch.uint8)
    before = images.clone()
    torch.testing.assert_close(prepare(images), images.float() / 255)
    mean, std = (0.5, 0.25, 0.0), (1.0, 2.0, 0.5)
    found = prepare(images, mean, std)
    for channel in range(3):
        expected = (images[:, channel].float() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(found[:, channel], expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16])
def test_prepare_leaves_other_inputs_alone(dtype: torch.dtype) -> None:
    inputs = torch.ones(4, 3).to(dtype)
    assert prepare(inputs, (0.5,) * 3, (2.0,) * 3) is inputs


@pytest.mark.parametrize("given_as", ["mean", "std"])
def test_one_number_a_channel(given_as: str) -> None:
    data = Examples(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4).long())
    suite = Suite("s", [Task("a", Classification(2), data, data)])
    with pytest.raises(MtlError, match=f"{given_as} should hold .* found 3 for 1 channels"):
        BalancedBatches(suite, 2, 0, CPU, [ImageNormalization(**{given_as: (0.5, 0.5, 0.5)})])


def test_batches_of_bytes_are_normalized() -> None:
    images = torch.arange(8, dtype=torch.uint8).reshape(4, 2, 1, 1).expand(4, 2, 3, 3)
    data = Examples(images, torch.arange(4))
    suite = Suite("s", [Task("a", Classification(4), data, data)])
    batch = BalancedBatches(suite, 4, 0, CPU, [ImageNormalization((0.5, 0.2), (0.1, 2.0))]).next()
    assert torch.equal(batch.inputs[0], prepare(images, (0.5, 0.2), (0.1, 2.0))[batch.targets[0]])


@given(st.integers(1, 20), st.integers(1, 25))
def test_evaluation_batches_are_all_rows_in_order(rows: int, batch_size: int) -> None:
    data = Examples(torch.randint(256, (rows, 1, 2, 2), dtype=torch.uint8), torch.arange(rows))
    parts = list(evaluation_batches(data, batch_size, CPU, ImageNormalization((0.5,), (2.0,))))
    assert all(len(inputs) == batch_size for inputs, _ in parts[:-1])
    assert torch.equal(
        torch.cat([inputs for inputs, _ in parts]), prepare(stored(data), [0.5], [2.0])
    )
    assert torch.equal(torch.cat([targets for _, targets in parts]), data.targets)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_the_same_on_a_gpu() -> None:
    suite = numbered([(7, None), (5, 3)])
    there = BalancedBatches(suite, 4, 0, torch.device("cuda"))
    batch = there.next()
    assert {x.device.type for x in (*batch.inputs, *batch.targets)} == {"cuda"}
    there.load_state_dict(BalancedBatches(suite, 4, 0, CPU).state_dict())
    assert drawn(there, 5) == drawn(BalancedBatches(suite, 4, 0, CPU), 5)


# -- examples without labels -----------------------------------------------------------------------


def partly_labelled(masks: Sequence[Sequence[bool]], common_input: bool) -> Suite:
    """Like :func:`numbered`; examples without a label have targets that no one should see."""
    inputs = torch.arange(float(len(masks[0])))[:, None]
    tasks = []
    for place, mask in enumerate(masks):
        labelled = torch.tensor(mask)
        targets = torch.where(labelled, inputs[:, 0] + 100 * place, -1e6)
        data = Examples(inputs, targets, labelled)
        tasks.append(Task(f"task{place}", Regression(), data, data))
    return Suite("s", tasks, common_input)


masks_of = st.integers(1, 9).flatmap(
    lambda rows: st.lists(
        st.lists(st.booleans(), min_size=rows, max_size=rows).filter(any), min_size=1, max_size=3
    )
)


@settings(max_examples=30)
@given(masks_of, st.integers(1, 5))
def test_a_task_alone_reads_only_what_has_its_label(
    masks: list[list[bool]], batch_size: int
) -> None:
    batches = BalancedBatches(partly_labelled(masks, False), batch_size, 0, CPU)
    seen: list[set[int]] = [set() for _ in masks]
    for _ in range(9):
        batch = batches.next()
        assert batch.labelled == ()
        for place, (inputs, targets) in enumerate(zip(batch.inputs, batch.targets, strict=True)):
            assert torch.equal(targets, inputs[:, 0] + 100 * place)
            seen[place] |= set(inputs[:, 0].long().tolist())
    if batch_size * 9 >= len(masks[0]):
        assert seen == [{row for row, found in enumerate(mask) if found} for mask in masks]


@settings(max_examples=30)
@given(masks_of, st.integers(1, 5))
def test_a_common_input_comes_with_who_has_labels(masks: list[list[bool]], batch_size: int) -> None:
    batches = BalancedBatches(partly_labelled(masks, True), batch_size, 0, CPU)
    usable = {row for row in range(len(masks[0])) if any(mask[row] for mask in masks)}
    seen: Counter[int] = Counter()
    for _ in range(len(usable)):
        batch = batches.next()
        rows = batch.inputs[0][:, 0].long()
        seen.update(rows.tolist())
        for mask, labelled in zip(masks, batch.labelled, strict=True):
            assert labelled is not None
            assert torch.equal(labelled, torch.tensor(mask)[rows])
    assert seen == dict.fromkeys(usable, batch_size)


def test_tasks_with_all_labels_need_no_mask() -> None:
    first = partly_labelled([[True, False, True]], True).tasks[0]
    data = Examples(first.train.inputs, torch.zeros(3))
    both = Suite("s", [first, Task("full", Regression(), data, data)], common_input=True)
    batch = BalancedBatches(both, 3, 0, CPU).next()
    assert batch.labelled[0] is not None
    assert batch.labelled[1] is None
    assert set(batch.inputs[0][:, 0].tolist()) == {0.0, 1.0, 2.0}


# -- streams ---------------------------------------------------------------------------------------


def streamed(windows: int, streams: int) -> Task:
    """Input (window, stream) of every row."""
    inputs = torch.cartesian_prod(torch.arange(windows), torch.arange(streams)).view(-1, 2).float()
    data = Examples(inputs, inputs[:, 0], streams=streams)
    return Task("stream", Regression(), data, data)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 12))
def test_streams_come_window_by_window_and_begin_anew(
    windows: int, streams: int, stop: int
) -> None:
    seven = Examples(torch.zeros(7, 2), torch.zeros(7))
    other = Task("other", Regression(), seven, seven)
    suite = Suite("s", [other, streamed(windows, streams)])
    batches = BalancedBatches(suite, 3, 0, CPU)
    for step in range(12):
        if step == stop:  # a resumed run goes on in the middle of the streams
            state = batches.state_dict()
            batches = BalancedBatches(suite, 3, 1, CPU)
            batches.load_state_dict(state)
        batch = batches.next()
        window = step % windows
        assert batch.inputs[0].shape == (3, 2)
        assert batch.inputs[1].tolist() == [[window, stream] for stream in range(streams)]
        assert batch.starts == ((False, True) if window == 0 else ())


@pytest.mark.parametrize("state", [{"position": 3}, {"position": -1}, {"position": 1.0}, {}, None])
def test_states_of_streams_that_do_not_fit_are_refused(state: object) -> None:
    batches = BalancedBatches(Suite("s", [streamed(3, 2)]), 1, 0, CPU)
    with pytest.raises(MtlError, match=r"task 'stream' does not fit: its? (position )?should"):
        batches.load_state_dict({"stream": state})
    assert batches.next().inputs[0][0, 0] == 0


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 20))
def test_streams_are_evaluated_window_by_window(
    windows: int, streams: int, batch_size: int
) -> None:
    data = streamed(windows, streams).test
    parts = list(evaluation_batches(data, batch_size, CPU))
    assert [len(targets) for _, targets in parts] == [streams] * windows
    assert torch.equal(torch.cat([inputs for inputs, _ in parts]), stored(data))


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


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(2, 5), st.floats(0.05, 0.95), st.integers(0, 99))
def test_a_stratified_share_takes_its_part_of_every_class(
    rows: int, classes: int, share: float, seed: int
) -> None:
    targets = torch.arange(rows) % classes
    generator = torch.Generator().manual_seed(seed)
    used = torch.arange(0, rows, 1)
    if not 0 < round(share * rows) < rows:
        with pytest.raises(MtlError, match=f"of {rows} training examples cannot be held out"):
            stratified_share(used, [targets], share, generator)
        return
    kept, held = stratified_share(used, [targets], share, generator)
    assert sorted([*kept.tolist(), *held.tolist()]) == used.tolist()
    assert len(held) == round(share * rows)
    for label in range(classes):
        expected = int((targets == label).sum()) * len(held) / rows
        assert abs(int((targets[held] == label).sum()) - expected) < 1 + 1e-9


def test_parts_of_the_training_examples_never_meet_and_are_continued() -> None:
    batches = BalancedBatches(numbered([(20, None), (10, 4)]), 3, 1, CPU)
    before = drawn(BalancedBatches(numbered([(20, None), (10, 4)]), 3, 1, CPU), 3)
    kept, held = batches.split(0.3, seed=5)
    seen = [drawn(part, 12) for part in (kept, held)]
    for task, (rows, share) in enumerate([(20, 6), (10, 3)]):
        of_kept, of_held = ({n for step in part for n in step[task]} for part in seen)
        assert not of_kept & of_held
        assert of_kept | of_held == set(range(rows))
        assert len(of_held) == share
    assert drawn(batches, 3) == before  # whose order the parts leave alone
    state, going_on = held.state_dict(), drawn(held, 5)
    again = batches.split(0.3, seed=5)[1]
    again.load_state_dict(state)
    assert drawn(again, 5) == going_on
    assert drawn(batches.split(0.3, seed=6)[1], 5) != drawn(batches.split(0.3, seed=5)[1], 5)


def test_streams_cannot_be_split() -> None:
    windows = torch.arange(8.0)[:, None]
    data = Examples(windows, windows[:, 0], streams=2)
    batches = BalancedBatches(Suite("s", [Task("t", Regression(), data, data)]), 2, 0, CPU)
    with pytest.raises(MtlError, match="'t' is read as streams"):
        batches.split(0.5, 0)
