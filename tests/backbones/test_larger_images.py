"""A backbone that cannot run on small images is refused with a size that it can run on."""

import pytest
import torch
from support.makers import make_backbone
from torch import nn

from mtl_framework.backbones.larger_images import larger_images
from mtl_framework.support.errors import MtlError


def test_a_size_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 20), nn.Flatten())
    model.train()
    assert larger_images(model, torch.zeros(2, 3, 8, 8)) == (
        "; it runs on images of 24x24: set suite.size=24"
    )
    assert model.training
    assert larger_images(model, torch.zeros(2, 3)) == ""
    assert larger_images(nn.Linear(3, 2), torch.zeros(2, 3, 8, 8)) == ""


def test_the_message_has_it() -> None:
    with pytest.raises(MtlError, match=r"\(3, 16, 16\).*; it runs on images of 32x32: set suite"):
        make_backbone("convnext_atto", size=16)
