"""Networks of Meyerson and Miikkulainen 2019: sizes, and what they refuse."""

from collections.abc import Callable

import pytest
import torch
from mtl_backbones.deepbind import DeepBind
from mtl_backbones.language_model import LstmLanguageModel
from mtl_backbones.lenet import LeNet
from mtl_backbones.linear import Linear
from mtl_backbones.wide_resnet import WideResNet
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.support.errors import MtlError


def blocks(*weights: Tensor) -> int:
    """16x16 blocks, every tap of a convolution by itself."""
    found = 0
    for weight in weights:
        rows, columns, *taps = weight.shape
        assert rows % 16 == columns % 16 == 0
        found += (rows // 16) * (columns // 16) * torch.Size(taps).numel()
    return found


def inner(model: nn.Module, *outer: str) -> list[Tensor]:
    """Weights of dense and convolution layers but those named."""
    return [
        layer.weight
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d) and name not in outer
    ]


def test_block_counts_are_the_papers() -> None:
    assert blocks(*inner(LeNet(10, 3, (32, 32)), "conv1.conv", "classifier")) == 361
    assert blocks(*inner(WideResNet(10, 3, (32, 32)), "stem", "classifier")) == 2268
    lstm = LstmLanguageModel(33_278, 35)
    assert blocks(*(p for n, p in lstm.lstm.named_parameters() if "weight" in n)) == 4096
    assert blocks(*inner(DeepBind(1, 201), "classifier")) == 6400


@pytest.mark.parametrize(
    ("model", "inputs", "shape"),
    [
        (LeNet(10, 3, (32, 32)), torch.rand(2, 3, 32, 32), (2, 10)),
        (LeNet(4, 1, (10, 17)), torch.rand(2, 1, 10, 17), (2, 4)),
        (WideResNet(10, 3, (32, 32)), torch.rand(2, 3, 32, 32), (2, 10)),
        (LstmLanguageModel(50, 7, width=16), torch.randint(50, (2, 7)), (2, 7, 50)),
        (DeepBind(1, 201, width=32), torch.randint(5, (2, 201), dtype=torch.int8), (2, 1)),
        (Linear(3, 20), torch.rand(2, 20), (2, 3)),
        (Linear(3, 2, (4, 5)), torch.rand(2, 2, 4, 5), (2, 3)),
    ],
)
def test_they_run(model: nn.Module, inputs: Tensor, shape: tuple[int, ...]) -> None:
    assert model(inputs).shape == shape


def test_layers_are_those_of_the_paper() -> None:
    lenet = LeNet(10, 3, (32, 32))
    assert lenet.get_submodule("fc1.linear").in_features == 576
    wide = WideResNet(10, 3, (32, 32))
    assert wide.stem(torch.rand(1, 3, 32, 32)).shape == (1, 16, 30, 30)
    convolutions = [m for m in wide.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 1 + 36 + 2  # 40 layers with the classifier; two shortcuts
    blocks = [block for group in wide.groups.children() for block in group.children()]
    assert sum(block.shortcut is not None for block in blocks) == 2
    assert len(list(Linear(1, 20, bias=False).parameters())) == 1


def test_the_decoder_is_the_embedding_and_starts_small() -> None:
    model = LstmLanguageModel(500, 35, width=64)
    assert model.decoder.weight is model.embedding.weight
    assert 0.09 < float(model.embedding.weight.detach().abs().max()) <= 0.1
    assert not model.decoder.bias.any()
    assert sum(p.numel() for p in model.parameters()) == 500 * 64 + 500 + 2 * (
        2 * 256 * 64 + 2 * 256
    )


def test_deepbind_finds_what_is_anywhere_in_the_window() -> None:
    torch.manual_seed(0)
    model = DeepBind(1, 60, width=16, kernel_size=8).eval()
    inputs = torch.zeros(1, 60, dtype=torch.int64)
    first, second = inputs.clone(), inputs.clone()
    first[:, 20:28] = second[:, 31:39] = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4])
    torch.testing.assert_close(model(first), model(second))
    assert not torch.allclose(model(first), model(inputs))


@pytest.mark.parametrize("name", ["lenet", "wrn_40_1"])
def test_networks_of_images_can_be_shared_unit_by_unit(name: str) -> None:
    factory: Callable[..., nn.Module] = {"lenet": LeNet, "wrn_40_1": WideResNet}[name]
    args = {"blocks": 1} if name == "wrn_40_1" else {}
    config = BackboneConfig(name=name, shared=(), args=args)
    found = build_backbone(config, 1, (12, 12), factory)
    units = [unit.name for unit in found.units]
    expected = {
        "lenet": ["conv1", "conv2", "fc1", "fc2"],
        "wrn_40_1": ["stem", "groups.0.0", "groups.1.0", "groups.2.0", "norm"],
    }
    assert units == expected[name]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeNet(10, 1, (9, 32)), "at least 10x10 pixels, found 9x32"),
        (lambda: LeNet(10, 20, None), "needs images"),
        (lambda: WideResNet(10, 1, None), "'wrn_40_1' needs images"),
        (lambda: DeepBind(1, 23), "at least 24 positions, found 23"),
        (lambda: DeepBind(1, 3, (32, 32)), "found images"),
        (lambda: LstmLanguageModel(9, 3, (8, 8)), "needs words"),
    ],
)
def test_unsuitable_inputs_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        make()
