"""Where the channels of units lie, in models of which blocks and outputs differ."""

import pytest
from support.makers import make_backbone
from torch import nn

from mtl_framework.backbones.channels import channel_dim


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", {64, 128, 256, 512}),
        ("convnext_atto", {40, 80, 160, 320}),
        ("volo_d1_224", {192, 384}),
        ("nest_tiny", {96, 192, 384}),
        ("tiny_vit_5m_224", {64, 128, 160, 320}),
        ("swin_tiny_patch4_window7_224", {96, 192, 384, 768}),
        ("vit_tiny_patch16_224", {192}),
    ],
)
def test_channels_are_found_whichever_way_blocks_turn_their_maps(
    name: str, channels: set[int]
) -> None:
    units = make_backbone(name).units
    assert {u.output_shape[u.channel_dim] for u in units if u.output_shape} == channels


def test_what_is_not_decided_by_layers_is_as_the_model_says() -> None:
    odd = [nn.Conv2d(3, 8, 1)]
    assert channel_dim(odd, (5, 6, 7), channels_last=False) == 0
    assert channel_dim(odd, (5, 6, 7), channels_last=True) == 2
    assert channel_dim(odd, (8, 8, 8), channels_last=True) == 2
    assert channel_dim(odd, (8, 4, 4), channels_last=True) == 0
    assert channel_dim([nn.Sequential(nn.Linear(3, 9))], (4, 4, 9), channels_last=False) == 2
    assert channel_dim([nn.LayerNorm(9)], (4, 4, 9), channels_last=False) == 2
    assert channel_dim(odd, (5, 192), channels_last=False) == 1
    assert channel_dim(odd, (192,), channels_last=False) == 0
