"""The network of the paper's Omniglot experiments."""

import pytest
import torch
from mtl_pta.backbone import PtaConvNet

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.support.errors import MtlError


def test_it_has_the_papers_layers() -> None:
    model = PtaConvNet(26, 1, (105, 105))
    counts = [sum(p.numel() for p in block.parameters()) for block in list(model)[:4]]
    assert counts == [53 * 10, *[53 * (53 * 9 + 1)] * 3]
    assert model.classifier.in_features == 53 * 6 * 6
    assert model(torch.rand(2, 1, 105, 105)).shape == (2, 26)
    drops = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert drops == [0.5] * 4


def test_it_is_cut_into_its_convolutions() -> None:
    config = BackboneConfig(name="pta_convnet", shared=(), args={"drop_rate": 0.2})
    backbone = build_backbone(config, 1, (28, 28), PtaConvNet)
    assert [unit.name for unit in backbone.units] == ["conv1", "conv2", "conv3", "conv4"]
    assert backbone.num_features == 53


@pytest.mark.parametrize(("size", "found"), [((15, 40), "15x40"), (None, "without height")])
def test_images_that_are_too_small_are_refused(size: tuple[int, int] | None, found: str) -> None:
    with pytest.raises(MtlError, match=f"at least 16x16 pixels, found .*{found}"):
        PtaConvNet(2, 1, size)
