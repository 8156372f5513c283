"""Pixels that a model never reads are refused where they are many, and told of otherwise."""

from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl_framework.backbones.blind import blind_border, check_pixels
from mtl_framework.backbones.build import _unread, build_backbone, build_plain
from mtl_framework.backbones.config import BackboneConfig, PlainBackboneConfig
from mtl_framework.support.errors import MtlError


def patches(size: int, head: bool = True) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 4, size, size), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    last = nn.Linear(4, 2)
    if not head:
        nn.init.zeros_(last.weight)
    return nn.Sequential(*layers, last).eval()


@pytest.mark.parametrize(
    ("patch", "size", "rows", "columns"),
    [(8, (16, 24), 0, 0), (8, (20, 24), 4, 0), (8, (20, 27), 4, 3), (16, (28, 28), 12, 12)],
)
def test_the_border_behind_the_last_patch_is_found(
    patch: int, size: tuple[int, int], rows: int, columns: int
) -> None:
    model = patches(patch)
    inputs = torch.randn(2, 3, *size)
    border = blind_border(model, inputs)
    assert (border.rows, border.columns) == (rows, columns)
    other = inputs.clone()
    other[:, :, size[0] - rows :] += 1
    other[:, :, :, size[1] - columns :] += 1
    with torch.no_grad():
        torch.testing.assert_close(model(other), model(inputs))
    assert border.share == pytest.approx(
        1 - (size[0] - rows) * (size[1] - columns) / (size[0] * size[1])
    )


@settings(max_examples=40, deadline=None)
@given(
    patch=st.integers(1, 9),
    height=st.integers(9, 40),
    width=st.integers(9, 40),
    allowed=st.floats(0, 1),
)
def test_what_patches_do_not_divide_is_told_or_refused(
    patch: int, height: int, width: int, allowed: float
) -> None:
    border = blind_border(patches(patch), torch.rand(2, 3, height, width) + 1)
    assert (border.rows, border.columns) == (height % patch, width % patch)
    read = (height - height % patch) * (width - width % patch)
    assert border.share == pytest.approx(1 - read / (height * width))
    if not border.share:
        assert check_pixels("net", border, allowed) == ()
    elif border.share > allowed:
        fits = f"{height - height % patch}x{width - width % patch} is what it reads now"
        with pytest.raises(MtlError, match=fits):
            check_pixels("net", border, allowed)
    else:
        assert f"{height}x{width} images unread" in check_pixels("net", border, allowed)[0]


def test_a_head_that_starts_at_zero_hides_no_border() -> None:
    border = blind_border(patches(8, head=False), torch.randn(2, 3, 20, 20))
    assert (border.rows, border.columns) == (4, 4)


def test_many_are_refused_with_the_share_and_few_are_told() -> None:
    border = blind_border(patches(16), torch.randn(2, 3, 28, 28))
    with pytest.raises(MtlError, match=r"'net' leaves 67 % of the pixels of 28x28.*suite\.size"):
        check_pixels("net", border, 0.1)
    (hint,) = check_pixels("net", border, 0.7)
    assert "67 %" in hint
    assert check_pixels("net", blind_border(patches(4), torch.randn(2, 3, 28, 28)), 0.0) == ()


def test_backbones_are_checked_shared_ones_and_tasks_own() -> None:
    small: dict[str, Any] = {"name": "vit_tiny_patch16_224", "args": {"depth": 1}}
    assert build_backbone(BackboneConfig(**small), 3, (32, 32)).hints == ()
    unread = r"leaves 27 % of the pixels of 44x32 images unread \(12 rows"
    with pytest.raises(MtlError, match=unread):
        build_backbone(BackboneConfig(**small), 3, (44, 32))
    allowed = BackboneConfig(**small, unread_pixels=0.5)
    assert "unread" in build_backbone(allowed, 3, (44, 32)).hints[0]
    with pytest.raises(MtlError, match=unread):
        build_plain(PlainBackboneConfig(**small), (3, 44, 32), torch.uint8, 2)


def test_branches_that_start_at_zero_read_all_the_same() -> None:
    """timm's ResNets begin with their shortcuts alone, which read every fourth pixel."""
    model = timm.create_model("resnet18", num_classes=2).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert blind_border(model, torch.randn(2, 3, 32, 32)).share == 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_relus_that_are_off_by_chance_hide_no_border() -> None:
    """Of two channels both may be off for the few images that are tried first."""
    torch.manual_seed(39)
    model = timm.create_model("resnet18", num_classes=5, channels=(2, 2, 2, 2)).eval()
    state = torch.get_rng_state()
    assert blind_border(model, torch.randn(2, 3, 32, 32)).share > 0.1
    torch.set_rng_state(state)
    assert _unread(model, PlainBackboneConfig(name="resnet18"), (3, 32, 32), torch.float32) == ()
