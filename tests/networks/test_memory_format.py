"""Channels-last images, except where a library writes past its buffer."""

import pytest
import torch
from torch import nn

from mtl_framework.networks.memory_format import image_format


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "safe"),
    [(8, 1, 2, True), (4, 1, 2, False), (6, 1, 2, False), (4, 1, 1, True), (4, 3, 2, True)],
)
def test_narrow_strided_pointwise_convolutions_stay_contiguous(
    channels: int, kernel: int, stride: int, safe: bool
) -> None:
    model = nn.Sequential(nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 16, kernel, stride))
    expected = torch.channels_last if safe else torch.contiguous_format
    assert image_format(model, group_major=True) == expected
    assert image_format(model, group_major=False) == torch.contiguous_format
