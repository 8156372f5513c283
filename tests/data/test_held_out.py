"""Shares of the training examples that are held out."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from support.numbered import CPU, drawn, numbered

from mtl_framework.data.batches import BalancedBatches
from mtl_framework.data.held_out import stratified_share
from mtl_framework.data.tasks import Examples, Regression, Suite, Task
from mtl_framework.support.errors import MtlError


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


def test_targets_of_examples_without_a_label_do_not_count() -> None:
    """They are like a class of their own, of which the share is held out, too."""
    rows, labelled = torch.arange(40), torch.arange(40) % 4 != 0
    parts = []
    for poison in (0, 7, -3):
        targets = [(rows % 3).where(labelled, poison), rows % 2]
        generator = torch.Generator().manual_seed(1)
        parts.append(stratified_share(rows, targets, 0.3, generator, [labelled, None]))
    for part in parts[1:]:
        assert all(map(torch.equal, part, parts[0]))
    held = parts[0][1]
    assert int((~labelled[held]).sum()) == 3  # of ten


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
