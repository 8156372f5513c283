"""Which max-poolings directly follow a norm."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from support.makers import make_backbone
from torch import Tensor, nn

from mtl_framework.backbones.direct_poolings import direct_poolings
from mtl_framework.backbones.units import Place

Forward = Callable[["Stem", Tensor], object]


class Stem(nn.Module):
    """Layers whose order of calls a test chooses."""

    def __init__(self, forward: Forward, inplace: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm, self.act = nn.BatchNorm2d(4), nn.ReLU(inplace)
        self.pool, self.other = nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2)
        self._order = forward

    def forward(self, x: Tensor) -> object:
        return self._order(self, self.conv(x))


def found(forward: Forward, inplace: bool = True, places: tuple[str, ...] = ()) -> object:
    torch.manual_seed(0)
    model = Stem(forward, inplace).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chains = direct_poolings(
        model, torch.randn(3, 3, 12, 12), [Place((n,), "unit") for n in places]
    )
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return chains


@pytest.mark.parametrize("inplace", [True, False])
def test_layers_that_follow_each_other_are_found(inplace: bool) -> None:
    whole = ("norm", "act", "pool")
    assert found(lambda m, x: m.pool(m.act(m.norm(x))).mean(), inplace) == (whole,)
    assert found(lambda m, x: m.pool(m.norm(x)), inplace) == (("norm", "pool"),)
    assert found(lambda m, x: m.act(m.pool(m.norm(x))), inplace) == (("norm", "pool"),)
    # what is pooled may be used at will
    assert found(lambda m, x: [y := m.pool(m.act(m.norm(x))), y + x.mean()], inplace) == (whole,)


def _hands_out(m: Stem, x: Tensor) -> object:
    y = m.act(m.norm(x))
    return m.pool(y), y


def _skips(m: Stem, x: Tensor) -> object:
    y = m.norm(x)
    return m.pool(m.act(y)).mean() + y.mean()


def _skips_a_view(m: Stem, x: Tensor) -> object:
    y = m.act(m.norm(x))
    return m.pool(y).mean() + y.flatten(2)[:, 0].sum()


def _skips_in_training(m: Stem, x: Tensor) -> object:
    return _skips(m, x) if m.training else m.pool(m.act(m.norm(x)))


def _skips_in_evaluation(m: Stem, x: Tensor) -> object:
    return m.pool(m.act(m.norm(x))) if m.training else _skips(m, x)


def _changes(m: Stem, x: Tensor) -> object:
    y = m.norm(x)
    y.mul_(2)  # in place: the pooling still reads what the norm has returned
    return m.pool(y)


REFUSED: dict[str, Forward] = {
    "returned": _hands_out,
    "read again": _skips,
    "read in part": _skips_a_view,
    "read again in training": _skips_in_training,
    "read again in evaluation": _skips_in_evaluation,
    "changed in place": _changes,
    "scaled": lambda m, x: m.pool(m.act(2 * m.norm(x))),
    "another activation": lambda m, x: m.pool(F.gelu(m.norm(x))),
    "an activation by function": lambda m, x: m.pool(F.relu(m.norm(x))),
    "two poolings": lambda m, x: (m.pool(y := m.act(m.norm(x))), m.other(y)),
    "pooled twice": lambda m, x: m.pool(m.pool(m.act(m.norm(x)))),
    "normalised twice": lambda m, x: m.pool(m.act(m.norm(m.norm(x)))),
    "activated twice": lambda m, x: m.pool(m.act(m.norm(m.act(x)))),
    "no norm": lambda m, x: m.pool(m.act(x)),
    "no pooling": lambda m, x: m.act(m.norm(x)),
    "average": lambda m, x: F.avg_pool2d(m.act(m.norm(x)), 2),
}


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("what", REFUSED)
def test_layers_between_which_something_happens_are_not(what: str, inplace: bool) -> None:
    assert found(REFUSED[what], inplace) == ()


def plain(m: Stem, x: Tensor) -> object:
    return m.pool(m.act(m.norm(x)))


@pytest.mark.parametrize("place", ["norm", "act", "pool"])
def test_layers_of_a_unit_are_left_out(place: str) -> None:
    assert found(plain, places=("conv",)) == (("norm", "act", "pool"),)
    assert found(plain, places=(place,)) == ()


def test_tied_layers_and_those_with_hooks_are_left_out() -> None:
    x = torch.randn(2, 3, 12, 12)
    tied, hooked = Stem(plain), Stem(plain)
    tied.again = tied.act
    assert direct_poolings(tied, x) == ()
    hooked.act.register_forward_hook(lambda module, args, output: output + 1)
    assert direct_poolings(hooked, x) == ()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (("bn1", "act1", "maxpool"),)),
        ({"shared": []}, ()),  # the stem is a unit
        ({"small_images": True}, ()),  # which takes the pooling out
    ],
)
def test_stems_of_resnets(options: dict[str, object], expected: object) -> None:
    assert make_backbone("resnet10t", 32, 3, **options).direct_poolings == expected
