"""Blocks: the order of the published code, and back again."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_muir.method.decomposition import BlockGrid, split_blocks
from mtl_muir.method.weights import check_patterns, find_weights, he_deviation, layers_of
from torch import Tensor, nn

from mtl_framework.plugins.manager import Plugins
from mtl_framework.support.errors import MtlError, UnknownNameError

sides = st.integers(1, 7)
taps = st.sampled_from([(), (3,), (2, 3)])


@given(sides, sides, taps, sides, sides)
def test_a_weight_comes_back_whole(
    outs: int, ins: int, kernel: tuple[int, ...], block_out: int, block_in: int
) -> None:
    weight = torch.arange(1.0, 1 + outs * ins * math.prod(kernel)).view(outs, ins, *kernel)
    grid = BlockGrid(tuple(weight.shape), block_out, block_in)
    blocks = grid.unpack(weight)
    assert blocks.shape == (grid.count, block_out, block_in)
    assert torch.equal(grid.pack(blocks), weight)
    # nothing but the overhang is added
    assert torch.equal(blocks[blocks != 0].sort().values, weight.flatten())
    assert grid.divides == (blocks.numel() == weight.numel())


@given(sides, sides, taps)
def test_blocks_stand_where_the_published_code_puts_them(
    outs: int, ins: int, kernel: tuple[int, ...]
) -> None:
    m, n = 2, 3
    weight = torch.randn(outs * m, ins * n, *kernel)
    grid = BlockGrid(tuple(weight.shape), m, n)
    blocks = grid.unpack(weight)
    flat = weight.reshape(outs * m, ins * n, -1)
    for i in range(ins):
        for tap in range(grid.taps):
            for o in range(outs):
                expected = flat[o * m : (o + 1) * m, i * n : (i + 1) * n, tap]
                number = i * grid.taps * outs + tap * outs + o
                assert grid.index(i, o, tap) == number
                assert torch.equal(blocks[number], expected)


def test_several_networks_are_packed_at_once_and_gradients_come_back() -> None:
    grids = (BlockGrid((4, 6), 2, 3), BlockGrid((2, 5, 3), 2, 3))
    blocks = torch.randn(3, sum(grid.count for grid in grids), 2, 3, requires_grad=True)
    together = split_blocks(blocks, grids)
    for number in range(3):
        alone = split_blocks(blocks[number], grids)
        for a, b in zip(together, alone, strict=True):
            assert torch.equal(a[number], b)
    sum(tensor.sum() for tensor in together).backward()  # type: ignore[union-attr]
    assert blocks.grad is not None
    used = 3 * (4 * 6 + 2 * 5 * 3)
    assert blocks.grad.sum() == used  # the overhang of the second weight gets none


@pytest.mark.parametrize("shape", [(4,), (0, 4)])
def test_only_matrices_have_blocks(shape: tuple[int, ...]) -> None:
    with pytest.raises(MtlError, match="only weights"):
        BlockGrid(shape, 2, 2)


def test_blocks_have_a_size_and_fit_their_weight() -> None:
    with pytest.raises(MtlError, match="at least 1 x 1, found 0 x 2"):
        BlockGrid((4, 4), 0, 2)
    with pytest.raises(MtlError, match=r"shape \(4, 4\), found \(4, 5\)"):
        BlockGrid((4, 4), 2, 2).unpack(torch.zeros(4, 5))


# -- which weights ------------------------------------------------------------------------------

PAPER = [
    ("wrn_40_1", (3, 32, 32), torch.float32, 10, 2268, 580_608),
    ("lstm_language_model", (35,), torch.int64, 50, 4096, 1_048_576),
    ("deepbind", (201,), torch.int64, 1, 6400, 1_638_400),
    ("lenet", (3, 32, 32), torch.float32, 10, 361, 92_416),
]


def plain(name: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    size = (shape[1], shape[2]) if len(shape) == 3 else None
    factory = Plugins.load().backbone(name)
    assert factory is not None
    return factory(outputs, shape[0], size).eval()


@pytest.mark.parametrize(("name", "shape", "dtype", "outputs", "blocks", "numbers"), PAPER)
def test_the_papers_networks_have_the_papers_number_of_blocks(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, outputs: int, blocks: int, numbers: int
) -> None:
    network = plain(name, shape, outputs)
    found = find_weights(network, torch.zeros(2, *shape, dtype=dtype), outputs, (16, 16))
    assert sum(weight.grid.count for weight in found) == blocks
    assert sum(network.get_parameter(weight.name).numel() for weight in found) == numbers


def test_an_lstm_gives_its_matrices_layer_by_layer() -> None:
    network = plain("lstm_language_model", (5,), 50)
    inputs = torch.zeros(2, 5, dtype=torch.int64)
    found = find_weights(network, inputs, 50, (16, 16))
    names = ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"]
    assert [weight.name for weight in found] == [f"lstm.{name}" for name in names]
    assert {weight.deviation for weight in found} == {1 / 16}


class Mixed(nn.Module):
    """Layers out of order, a tied one, a grouped one, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)
        self.unused = nn.Linear(4, 4)
        self.first = nn.Conv1d(2, 4, 1)
        self.grouped = nn.Conv1d(4, 4, 1, groups=2)
        self.middle = nn.Conv1d(4, 4, 3, padding=1)
        self.tied = nn.Linear(4, 4)
        self.again = nn.Linear(4, 4)
        self.again.weight = self.tied.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.grouped(self.first(x))).mean(2)
        y: Tensor = self.last(self.again(self.tied(x)))
        return y


def test_first_last_grouped_tied_and_unused_layers_stay_ordinary() -> None:
    found = find_weights(Mixed(), torch.zeros(2, 2, 5), 3, (2, 2))
    assert [(weight.layer, weight.name) for weight in found] == [("middle", "middle.weight")]
    assert found[0].deviation == pytest.approx(math.sqrt(2 / 12))


def test_a_last_layer_of_another_width_is_no_last_layer() -> None:
    found = find_weights(Mixed(), torch.zeros(2, 2, 5), 7, (1, 1))
    assert [weight.layer for weight in found] == ["middle", "last"]
    found = find_weights(Mixed(), torch.zeros(2, 2, 5), 7, (1, 1), class_layers=["last"])
    assert [weight.layer for weight in found] == ["middle"]


def test_a_network_of_one_layer_takes_part_with_it() -> None:
    (found,) = find_weights(nn.Linear(20, 1, bias=False), torch.zeros(2, 20), 1, (1, 20))
    assert (found.layer, found.name, found.grid.count) == ("", "weight", 1)


def test_layers_can_be_chosen() -> None:
    inputs = torch.zeros(2, 2, 5)
    found = find_weights(Mixed(), inputs, 3, (1, 1), layers=["mid*", "last"])
    assert [weight.layer for weight in found] == ["middle", "last"]
    with pytest.raises(UnknownNameError, match=r"'midle'; did you mean 'middle'"):
        find_weights(Mixed(), inputs, 3, (1, 1), layers=["midle"], name="mixed")


def test_patterns_may_be_of_other_networks_but_fit_some() -> None:
    inputs = torch.zeros(2, 2, 5)
    found = find_weights(Mixed(), inputs, 3, (1, 1), layers=["middle", "lstm"], name="mixed")
    assert [weight.layer for weight in found] == ["middle"]
    names = layers_of(Mixed(), inputs, "mixed")
    assert "middle" in names
    check_patterns(["mid*", "lstm"], (*names, "lstm"))
    with pytest.raises(UnknownNameError, match="'midle'; did you mean 'middle'"):
        check_patterns(["middle", "midle"], names)


def test_weights_that_blocks_do_not_divide() -> None:
    inputs = torch.zeros(2, 2, 5)
    with pytest.raises(MtlError, match=r"weight middle.weight of 'mixed' has 4 outputs and 4 inp"):
        find_weights(Mixed(), inputs, 3, (3, 2), name="mixed")
    (found,) = find_weights(Mixed(), inputs, 3, (3, 2), indivisible="discard")
    assert found.grid.count == 2 * 2 * 3
    with pytest.raises(MtlError, match="no weight of 'mixed' can be generated in blocks of 3 x 2"):
        find_weights(Mixed(), inputs, 3, (3, 2), indivisible="ordinary", name="mixed")


def test_the_library_says_what_its_own_weights_are() -> None:
    network = Mixed()
    (found,) = find_weights(network, torch.zeros(2, 2, 5), 3, (2, 2), library=True)
    assert found.deviation == pytest.approx(
        float(network.middle.weight.detach().square().mean().sqrt())
    )
    assert he_deviation(nn.LSTM(3, 25), torch.zeros(100, 3)) == pytest.approx(0.2)


def test_a_network_that_cannot_run_says_so() -> None:
    with pytest.raises(MtlError, match=r"'mixed' cannot run on inputs of shape \(2, 9, 5\)"):
        find_weights(Mixed(), torch.zeros(2, 9, 5), 3, (2, 2), name="mixed")
