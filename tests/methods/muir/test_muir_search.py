"""The decomposed evolutionary algorithm: who is challenged by what, and who stays."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_muir.search.evolution import (
    SearchOptions,
    idle_modules,
    pooled_scores,
    propose,
    select_best,
    select_random,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 30), st.floats(0.05, 1.0), st.integers(1, 4), st.integers(0, 50))
def test_a_share_of_the_parts_is_challenged(
    locations: int, share: float, alternatives: int, seed: int
) -> None:
    mapping = torch.randint(locations, (locations,), generator=generator(seed))
    options = SearchOptions(alternatives, share)
    parts = torch.arange(locations)
    found = propose(mapping, parts, locations, options, generator(seed))
    assert int(found.challenged.sum()) == math.ceil(Fraction(str(share)) * locations)
    assert torch.equal(found.modules[:, 0], mapping)
    alone = ~found.challenged
    assert torch.equal(found.modules[alone], mapping[alone][:, None].expand(-1, 1 + alternatives))
    assert set(found.modules.flatten().tolist()) <= set(mapping.tolist())
    assert not len(found.renewed)


def test_the_share_that_is_challenged_is_taken_as_it_is_written() -> None:
    parts = torch.arange(100)
    found = propose(parts, parts, 100, SearchOptions(1, 0.07), generator())
    assert int(found.challenged.sum()) == 7  # though 100 * 0.07 is 7.000000000000001


def test_challengers_come_in_proportion_to_use() -> None:
    mapping = torch.tensor([0] * 6 + [1] * 3 + [7])
    counts = torch.zeros(8)
    options = SearchOptions(alternatives=50)
    source = generator(1)
    for _ in range(100):
        found = propose(mapping, torch.arange(10), 8, options, source)
        counts += found.modules[:, 1:].flatten().bincount(minlength=8)
    shares = counts / counts.sum()  # of 50,000: known to 0.003
    expected = torch.tensor([0.6, 0.3, 0, 0, 0, 0, 0, 0.1])
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)


def test_uniform_challengers_are_any_module() -> None:
    options = SearchOptions(alternatives=2000, sampling="uniform")
    found = propose(torch.zeros(5, dtype=torch.int64), torch.arange(5), 4, options, generator())
    shares = found.modules[:, 1:].flatten().bincount(minlength=4) / 10_000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_idle_modules_come_back() -> None:
    mapping = torch.tensor([3, 3, 3, 3])
    assert idle_modules(mapping, 5).tolist() == [0, 1, 2, 4]
    options = SearchOptions(alternatives=1, reactivation=0.25)
    source, back = generator(), 0
    for _ in range(500):
        found = propose(mapping, torch.arange(4), 5, options, source)
        changed = found.modules[:, 1] != 3
        back += int(changed.sum())
        assert sorted(found.renewed_at.tolist()) == changed.nonzero()[:, 0].tolist()
        assert torch.equal(found.modules[found.renewed_at, 1], found.renewed)
        assert len(found.renewed.unique()) == len(found.renewed)
    assert back / 2000 == pytest.approx(0.25, abs=0.03)


def test_no_module_comes_back_twice_in_one_generation() -> None:
    options = SearchOptions(alternatives=4, reactivation=1.0)
    found = propose(torch.tensor([1, 1, 1]), torch.arange(3), 3, options, generator())
    assert sorted(found.renewed.tolist()) == [0, 2]
    assert int((found.modules[:, 1:] != 1).sum()) == 2


def test_large_parts_change_a_location_at_a_time_on_average() -> None:
    parts = torch.tensor([0] * 10 + [1] * 40)
    options = SearchOptions(alternatives=1, sampling="uniform")
    mapping = torch.zeros(50, dtype=torch.int64)
    changed = torch.zeros(50)
    source = generator(2)
    for _ in range(2000):
        # module 0 of a million is hardly drawn: what was drawn has changed
        found = propose(mapping, parts, 1_000_000, options, source)
        changed += found.modules[:, 1] != 0
    assert float(changed[:10].sum()) / 2000 == pytest.approx(1, abs=0.1)
    assert float(changed[10:].sum()) / 2000 == pytest.approx(1, abs=0.1)


def test_the_soft_weights_start_as_alpha_says() -> None:
    start = SearchOptions(alternatives=4, alpha=0.2).start().softmax(0)
    torch.testing.assert_close(start, torch.tensor([0.8, 0.05, 0.05, 0.05, 0.05]))
    assert SearchOptions(alternatives=4, alpha=0.2).start()[0] == 0
    assert SearchOptions(alternatives=4).start().tolist() == [0] * 5


def test_duplicates_are_pooled_and_ties_stay() -> None:
    modules = torch.tensor([[5, 6, 7, 7], [5, 6, 5, 6], [5, 5, 6, 6], [1, 2, 3, 4]])
    scores = torch.tensor(
        [
            [0.2, 0.35, 0.2, 0.25],
            [0.3, 0.3, 0.2, 0.2],
            [0.25, 0.25, 0.25, 0.25],
            [0.1, 0.2, 0.4, 0.3],
        ]
    )
    parts = torch.arange(4)
    pooled = pooled_scores(modules, parts, scores)
    torch.testing.assert_close(pooled[0], torch.tensor([0.2, 0.35, 0.45, 0.45]))
    assert select_best(modules, parts, scores).tolist()[:1] == [6]  # the largest single one
    assert select_best(modules, parts, pooled).tolist() == [7, 5, 5, 3]


def test_candidates_of_a_part_are_whole_mappings() -> None:
    modules = torch.tensor([[0, 1, 0], [0, 0, 0], [4, 4, 5]])
    parts = torch.tensor([0, 0, 1])
    scores = torch.tensor([[0.3, 0.4, 0.3], [0.3, 0.3, 0.4]])
    pooled = pooled_scores(modules, parts, scores)
    torch.testing.assert_close(pooled, torch.tensor([[0.6, 0.4, 0.6], [0.6, 0.6, 0.4]]))
    assert select_best(modules, parts, pooled).tolist() == [0, 0, 4]


def test_random_selection_takes_any_candidate() -> None:
    modules = torch.tensor([[0, 1, 2]]).repeat(3000, 1)
    found = select_random(modules, torch.arange(3000), generator())
    torch.testing.assert_close(
        found.bincount(minlength=3) / 3000, torch.full((3,), 1 / 3), atol=0.05, rtol=0
    )
