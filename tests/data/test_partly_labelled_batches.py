"""Batches of tasks some of whose examples have no label."""

import math
from collections import Counter
from collections.abc import Sequence

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from support.numbered import CPU

from mtl_framework.data.batches import BalancedBatches
from mtl_framework.data.readers import batches_per_epoch
from mtl_framework.data.tasks import Examples, Regression, Suite, Task


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


@settings(max_examples=30)
@given(masks_of, st.integers(1, 5))
def test_an_epoch_counts_the_rows_that_are_read(masks: list[list[bool]], batch_size: int) -> None:
    alone = max(math.ceil(sum(mask) / batch_size) for mask in masks)
    usable = sum(any(mask[row] for mask in masks) for row in range(len(masks[0])))
    assert batches_per_epoch(partly_labelled(masks, False), batch_size) == alone
    assert batches_per_epoch(partly_labelled(masks, True), batch_size) == math.ceil(
        usable / batch_size
    )
