"""Channels-last images, except where a library writes past its buffer."""

from typing import Any

import pytest
import torch
from support.makers import make_batch, make_tasks
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.networks.memory_format import image_format, set_format
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.manager import Plugins
from mtl_framework.routing.cpu import suits
from mtl_framework.routing.cpu.pooled_norm import pooled_path_norm


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


def test_units_of_grey_images_return_channels_last_images() -> None:
    """Where memory is the same in both formats, strides decide what a convolution returns."""
    convolution = nn.Conv2d(1, 4, 3)
    set_format(convolution, torch.channels_last)
    y = convolution(torch.rand(2, 1, 8, 8).contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert not y.is_contiguous()


@pytest.mark.parametrize("in_chans", [1, 3])
def test_every_norm_before_a_pooling_is_pooled_first(
    in_chans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not suits(torch.device("cpu")):
        pytest.skip("pooling before normalising is switched off here")
    calls = []

    def counted(x: Tensor, *args: Any) -> Tensor:
        calls.append(x.shape[1])
        return pooled_path_norm(x, *args)

    monkeypatch.setattr("mtl_framework.routing.norms.pooled_path_norm", counted)
    suite_tasks = make_tasks((2, 2), shape=(in_chans, 28, 28))
    factory = Plugins.load().backbone("dkl_convnet")
    config = BackboneConfig(name="dkl_convnet")
    backbone = build_backbone(config, in_chans, (28, 28), factory, common_input=False)
    network = TaskNetworks(backbone, suite_tasks, 2).train()
    own = torch.arange(2).expand(1, len(backbone.units), -1).contiguous()
    network.accumulate_gradients(make_batch(suite_tasks, dtype=torch.float32), own)
    assert calls == [32] * 3 * len(suite_tasks)  # each task's own weights normalise their own rows
