"""What figures of MUiR say: sharing against chance, generic against specific, the search's time."""

import numpy as np
import pytest
import torch
from mtl_muir.report.chance import layer_sharing
from mtl_muir.report.generic import contrasts
from mtl_muir.report.usage import Places, count_by_users, kinds, users
from mtl_muir.search.evolution import SearchOptions, propose, select_best
from scipy import stats
from torch import Tensor

PLACES = Places((("a", "conv", 2), ("a", "fc", 3), ("b", "lstm", 4)))


def test_sharing_is_counted_by_weight_and_compared_with_random_deals() -> None:
    # modules 0 and 1 serve both tasks; 2 and 3 one task each
    mapping = torch.tensor([0, 2, 1, 2, 2, 0, 1, 3, 3])
    found = layer_sharing(mapping, PLACES, deals=400)
    np.testing.assert_allclose(found.observed, [1 / 2, 1 / 3, 2 / 4])
    # by hand: a location is shared if another task has its module, too
    generator, hits = torch.Generator().manual_seed(1), torch.zeros(3)
    tasks = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1])
    weights = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2])
    for _ in range(400):
        dealt = mapping[torch.randperm(9, generator=generator)]
        for place in range(9):
            others = dealt[tasks != tasks[place]]
            hits[weights[place]] += float((others == dealt[place]).any())
    np.testing.assert_allclose(found.expected, hits / torch.tensor([2, 3, 4]) / 400, atol=0.05)
    assert (found.low <= found.expected).all()
    assert (found.expected <= found.high).all()


def test_modules_of_one_task_or_of_all_are_no_chance() -> None:
    alone = layer_sharing(torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1]), PLACES)
    assert not alone.observed.any()
    assert (alone.expected > 0.9).all()  # dealt at random they would be shared
    everywhere = layer_sharing(torch.zeros(9, dtype=torch.int64), PLACES)
    for values in (everywhere.observed, everywhere.expected, everywhere.low, everywhere.high):
        np.testing.assert_array_equal(values, 1)


def test_users_of_modules_are_counted_by_subset() -> None:
    mapping, tasks = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 1, 1])
    counted = count_by_users(users(mapping, tasks, 4))
    assert dict(zip(kinds(["a", "b"]), counted.tolist(), strict=True)) == {
        "a": 0, "b": 1, "a + b": 2,
    }  # fmt: skip


def test_generic_modules_are_those_of_more_than_c_locations() -> None:
    torch.manual_seed(0)
    modules, contexts = torch.randn(4, 2, 2, 3), torch.randn(7, 2)
    mapping = torch.tensor([0, 0, 0, 1, 1, 3, 3])  # c = 2: module 0 is generic, 2 idle
    found = {(each.kind, each.statistic): each for each in contrasts(modules, contexts, mapping)}
    assert len(found) == 9
    deviation = found["hypermodules", "standard deviation"]
    assert deviation.generic == pytest.approx([float(modules[0].std(correction=0))])
    expected = [float(modules[n].std(correction=0)) for n in (1, 3)]
    assert deviation.specific == pytest.approx(expected)
    largest = found["contexts", "largest magnitude"]
    assert largest.generic == pytest.approx(contexts[:3].abs().amax(1).tolist())
    maps = [sum(contexts[n, j] * modules[mapping[n], j] for j in range(2)) for n in range(7)]
    mean = found["maps", "mean"]
    assert mean.specific == pytest.approx([float(m.mean()) for m in maps[3:]], abs=1e-6)  # type: ignore[union-attr]
    assert mean.p == stats.mannwhitneyu(mean.generic, mean.specific).pvalue
    assert np.isnan(contrasts(modules, contexts, torch.arange(4).repeat(2)[:7])[0].p)


def generations(locations: int, parts: Tensor, sampling: str, seed: int) -> int:
    """Until every location has its best module, where a part's score is its right locations."""
    generator = torch.Generator().manual_seed(seed)
    if sampling == "proportional":
        mapping, modules = torch.arange(locations), locations
        best = mapping // (locations // 4) * (locations // 4)
    else:
        modules = 8
        best = torch.randint(modules, (locations,), generator=generator)
        mapping = (best + 1) % modules
    count = 0
    while not torch.equal(mapping, best):
        found = propose(mapping, parts, modules, SearchOptions(sampling=sampling), generator)  # type: ignore[arg-type]
        right = (found.modules == best[:, None]).float()
        scores = torch.zeros(int(parts.max()) + 1, 2).index_add_(0, parts, right)
        mapping = select_best(found.modules, parts, scores)
        count += 1
    return count


@pytest.mark.parametrize(
    ("decomposition", "sampling", "least", "most"),
    [
        pytest.param("all", "uniform", 3.5, 9, marks=pytest.mark.long),
        ("location", "uniform", 1.1, 2.2),
        ("location", "proportional", 1.1, 2.4),
    ],
)
def test_time_grows_with_l_log_l_undivided_and_with_log_l_by_location(
    decomposition: str, sampling: str, least: float, most: float
) -> None:
    """From L = 8 to 32, or 16 to 64: L log L grows by 6.7, log L by 1.5 to 1.7."""
    means = []
    for size in (8, 32) if sampling == "uniform" else (16, 64):
        parts = (
            torch.zeros(size, dtype=torch.int64) if decomposition == "all" else torch.arange(size)
        )
        means.append(np.mean([generations(size, parts, sampling, seed) for seed in range(10)]))
    assert least < means[1] / means[0] < most
