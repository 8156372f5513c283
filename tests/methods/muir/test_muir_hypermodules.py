"""Blocks from hypermodules: the product, its gradients, its variance."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mtl_muir.method.hypermodules import Hypermodules
from mtl_muir.speed.bags import Bags, Choice
from torch import Tensor


def loop(values: Tensor, contexts: Tensor, modules: Tensor, open: Tensor, soft: Tensor) -> Tensor:
    """Equations 5 and 8, block by block."""
    blocks = []
    for location, row in enumerate(modules.tolist()):
        number = len(row) if bool(open[location]) else 1
        block = torch.zeros_like(values[0, 0])
        for candidate in range(number):
            module = values[row[candidate]]
            z = contexts[location] if contexts.shape[1] else torch.ones(1, dtype=values.dtype)
            generated = (z[:, None, None] * module).sum(0)
            share = soft[location, candidate] if bool(open[location]) else 1.0
            block = block + share * generated
        blocks.append(block)
    return torch.stack(blocks)


@given(
    st.integers(0, 3), st.integers(1, 5), st.integers(1, 3), st.integers(0, 5), st.integers(0, 99)
)
def test_blocks_and_gradients_are_those_of_the_loop(
    context_size: int, locations: int, candidates: int, opened: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    module = Hypermodules([1.0] * locations, (2, 3), context_size, 1.0).double()
    with torch.no_grad():
        module.contexts.normal_(generator=generator)
    modules = torch.randint(locations, (locations, candidates), generator=generator)
    open = torch.arange(locations) < opened
    soft = torch.randn(locations, candidates, generator=generator, dtype=torch.float64)
    soft = soft.softmax(1).requires_grad_()
    weights = torch.randn(locations, 2, 3, generator=generator, dtype=torch.float64)
    inputs = [module.hypermodules, module.contexts, soft]
    found = module(Choice(modules, open, context_size, locations), soft)
    expected = loop(module.hypermodules, module.contexts, modules, open, soft)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    ours = torch.autograd.grad((found * weights).sum(), inputs, allow_unused=True)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs, allow_unused=True)
    for own, other, source in zip(ours, theirs, inputs, strict=True):
        own = torch.zeros_like(source) if own is None else own
        other = torch.zeros_like(source) if other is None else other
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 3), st.integers(0, 99))
def test_fitted_contexts_point_the_way_of_the_incumbents_block(size: int, seed: int) -> None:
    torch.manual_seed(seed)
    module = Hypermodules([0.7] * 4, (2, 4), size, 1.0).double()
    with torch.no_grad():
        module.contexts.normal_()
    others, incumbents = torch.tensor([1, 2, 3, 0]), torch.tensor([0, 0, 2, 0])
    maps = module.fit(others, incumbents)
    values = module.hypermodules.detach()
    for location, (other, incumbent) in enumerate(zip(others, incumbents, strict=True)):
        z = module.contexts[location].detach()
        wanted = (z[:, None, None] * values[incumbent]).sum(0).flatten()
        basis = values[other].flatten(1).T
        nearest = basis @ torch.linalg.lstsq(basis, wanted[:, None]).solution[:, 0]
        found = basis @ (maps[location] @ z)
        torch.testing.assert_close(found, nearest * wanted.norm() / nearest.norm())


def test_fitted_contexts_see_no_difference_between_modules_that_generate_the_same() -> None:
    torch.manual_seed(0)
    module = Hypermodules([1.0] * 2, (2, 3), 2, 1.0).double()
    with torch.no_grad():
        mixing = torch.tensor([[2.0, 1.0], [-1.0, -3.0]], dtype=torch.float64)
        module.hypermodules[1] = torch.einsum("ij,jmn->imn", mixing, module.hypermodules[0])
    maps = torch.stack(
        [module.unchanged().expand(2, 2, 2), module.fit(torch.tensor([1, 1]), torch.tensor([0, 0]))]
    ).transpose(0, 1)
    choice = Choice(torch.tensor([[0, 1], [0, 1]]), torch.tensor([True, True]), 2, 2)
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.3, 0.7]])
    blocks = [module(choice, soft.double().expand(2, -1), maps) for soft in (first, second)]
    torch.testing.assert_close(*blocks)


def test_a_module_without_a_part_in_the_blocks_direction_keeps_the_context() -> None:
    module = Hypermodules([1.0] * 2, (1, 2), 1, 1.0)
    with torch.no_grad():
        module.hypermodules[0, 0, 0] = torch.tensor([1.0, 0.0])
        module.hypermodules[1, 0, 0] = torch.tensor([0.0, 2.0])
    maps = module.fit(torch.tensor([1, 0]), torch.tensor([0, 0]))
    torch.testing.assert_close(maps, torch.ones(2, 1, 1))


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=5))
def test_bags_of_any_size_agree_with_the_library(bags: list[list[int]]) -> None:
    rows = torch.tensor([row for bag in bags for row in bag], dtype=torch.int64)
    sizes = torch.tensor([len(bag) for bag in bags])
    offsets = sizes.cumsum(0) - sizes
    table = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(rows), dtype=torch.float64, requires_grad=True)
    expected = F.embedding_bag(rows, table, offsets, mode="sum", per_sample_weights=weights)
    found = Bags(rows, offsets, 4).sum(table, weights)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    ours = torch.autograd.grad(found, [table, weights], gradient)
    theirs = torch.autograd.grad(expected, [table, weights], gradient)
    torch.testing.assert_close(ours, theirs)


def test_many_entries_agree_with_few() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(500, (6000,), generator=generator)
    offsets = torch.arange(0, 6000, 6)
    table, values = torch.randn(500, 7), torch.randn(1000, 7)
    found = Bags(rows, offsets, 500).products(table, values)
    each = [
        Bags(rows[n : n + 600], offsets[:100], 500).products(table, values[n // 6 : n // 6 + 100])
        for n in range(0, 6000, 600)
    ]
    torch.testing.assert_close(found, torch.cat(each))


@pytest.mark.parametrize("gain", [1.0, 2.0])
@pytest.mark.parametrize("context_size", [0, 1, 2, 4, 8])
def test_blocks_start_with_the_variance_of_their_layer(context_size: int, gain: float) -> None:
    torch.manual_seed(3)
    sigma = [0.1] * 400 + [3.0] * 400
    module = Hypermodules(sigma, (8, 8), context_size, gain)
    choice = Choice(
        torch.arange(800)[:, None], torch.zeros(800, dtype=torch.bool), context_size, 800
    )
    blocks = module(choice, torch.ones(800, 1)).detach()
    # 25,600 entries: the variance is known to about 1 in 100
    assert float(blocks[:400].var()) == pytest.approx(0.1**2, rel=0.05)
    assert float(blocks[400:].var()) == pytest.approx(3.0**2, rel=0.05)
    if context_size:
        assert float(module.hypermodules.detach().var()) == pytest.approx(
            gain / context_size, rel=0.05
        )
        assert torch.equal(module.contexts, module.contexts[:, :1].expand_as(module.contexts))


def test_without_contexts_locations_of_one_module_have_equal_blocks() -> None:
    module = Hypermodules([1.0, 5.0, 1.0], (2, 2), 0, 1.0)
    choice = Choice(torch.tensor([[1], [1], [2]]), torch.zeros(3, dtype=torch.bool), 0, 3)
    blocks = module(choice, torch.ones(3, 1))
    assert torch.equal(blocks[0], blocks[1])
    assert torch.equal(blocks[2], module.hypermodules[2, 0])


@pytest.mark.parametrize("context_size", [0, 1, 4])
def test_given_blocks_are_generated_exactly(context_size: int) -> None:
    module = Hypermodules([0.5] * 6, (2, 3), context_size, 2.0).double()
    blocks = torch.randn(6, 2, 3, dtype=torch.float64)
    module.start_at(blocks)
    choice = Choice(torch.arange(6)[:, None], torch.zeros(6, dtype=torch.bool), context_size, 6)
    torch.testing.assert_close(module(choice, torch.ones(6, 1)), blocks)


@pytest.mark.parametrize(("context_size", "expected"), [(0, 5.0), (4, 0.5)])
def test_modules_come_back_as_new_ones(context_size: int, expected: float) -> None:
    module = Hypermodules([1.0, 1.0, 5.0], (40, 40), context_size, 1.0)
    before = module.hypermodules.detach().clone()
    generator = torch.Generator().manual_seed(0)
    module.renew(torch.tensor([1]), torch.tensor([2]), generator)
    assert torch.equal(module.hypermodules[[0, 2]], before[[0, 2]])
    assert float(module.hypermodules[1].detach().std()) == pytest.approx(expected, rel=0.1)
