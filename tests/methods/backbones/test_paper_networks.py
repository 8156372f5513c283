"""The papers' networks: parameters as published, and the routed pass through them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mtl_backbones import mtl_backbones
from mtl_backbones.convnets import CifarConvNet, DklConvNet, OmniglotConvNet
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_baselines.given import FixedSharing, FixedSharingConfig
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from support.makers import make_assignments, make_batch, make_tasks
from torch import nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.strategies.strategy import Strategy
from mtl_framework.support.errors import MtlError
from mtl_framework.testing.oracle import Oracle

# characters of the 50 alphabets: together 1,623, which is all that the counts depend on
OMNIGLOT = (32,) * 49 + (55,)
NETWORKS = {
    "dkl_convnet": (DklConvNet, (1, 28, 28), (10, 26, 10), 3),
    "cifar_convnet": (CifarConvNet, (3, 32, 32), (5,) * 20, 20),
    "omniglot_convnet": (OmniglotConvNet, (1, 105, 105), OMNIGLOT, 20),
}


def backbone(name: str, normalization: str = "shared") -> Backbone:
    factory, (channels, height, width), _, _ = NETWORKS[name]
    config = BackboneConfig(name=name, normalization=normalization)
    return build_backbone(config, channels, (height, width), factory)


def suite(name: str) -> Suite:
    _, shape, classes, _ = NETWORKS[name]
    return Suite(name, make_tasks(classes, shape, examples=2))


# -- parameters: the table of methods 1.9 -------------------------------------------------------

TABLE = {
    "dkl_convnet": (61_838, 173_646, 173_646, 154_382),
    "cifar_convnet": (91_204, 1_032_388, 1_032_388, 718_660),
    "omniglot_convnet": (164_386, 3_924_842, 1_622_522, 2_652_312),
}


@pytest.mark.parametrize("name", TABLE)
def test_parameter_counts_are_those_of_the_published_code(name: str) -> None:
    full, none, stored, prior = TABLE[name]
    ends: list[tuple[Strategy, int]] = [
        (FullSharing(), full),
        (NoSharing(), none),
        (FixedSharing(FixedSharingConfig(shared_first="half")), prior),
    ]
    for strategy, expected in ends:
        counts = strategy.build(backbone(name), suite(name)).parameter_counts()
        assert (counts.trained, counts.deployed) == (expected, expected)
    lws = LearnedWeightSharing(LwsConfig(weights_per_unit=NETWORKS[name][3]))
    network = lws.build(backbone(name), suite(name))
    assert network.parameter_counts().trained == stored
    # at the start the mode is weight 0 everywhere: full sharing
    assert network.parameter_counts().deployed == full


@pytest.mark.parametrize(
    ("channels", "classes", "shortcut", "expected"),
    [
        (3, (5,) * 20, 0, (11_220_132, 223_392_676, 223_392_676, 210_595_492)),
        # the published code strides in the first stage too here, so that its first block has a
        # shortcut convolution, which timm's ResNet18 has not
        (1, OMNIGLOT, 64 * 64 + 2 * 64, (12_004_503, 559_393_303, 224_257_303, 526_183_063)),
    ],
    ids=["cifar", "omniglot"],
)
def test_resnet18_has_the_published_size(
    channels: int, classes: tuple[int, ...], shortcut: int, expected: tuple[int, ...]
) -> None:
    """Added up over its units, because half a billion parameters need not be made for this."""
    config = BackboneConfig(name="resnet18", small_images=True)
    found = build_backbone(config, channels, (32, 32))
    sizes = [unit.num_parameters for unit in found.units]
    rest = found.num_parameters - sum(sizes) + sum(512 * n + n for n in classes)
    sizes[0] += shortcut
    tasks, weights = len(classes), 20
    half = sum(sizes[: len(sizes) // 2])
    assert expected == (
        rest + sum(sizes),
        rest + tasks * sum(sizes),
        rest + weights * sum(sizes),
        rest + half + tasks * (sum(sizes) - half),
    )
    assert len(sizes) == 8


# -- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "units", "shared"),
    [
        ("dkl_convnet", ("conv1", "conv2", "conv3", "dense"), ()),
        ("cifar_convnet", ("dense1", "dense2", "dense3"), ("stem",)),
        ("omniglot_convnet", ("conv1", "conv2", "conv3", "conv4"), ()),
    ],
)
def test_units_are_the_sites_of_the_paper(
    name: str, units: tuple[str, ...], shared: tuple[str, ...]
) -> None:
    found = backbone(name)
    assert tuple(unit.name for unit in found.units) == units
    assert found.always_shared == shared
    assert found.branching


def test_convolutions_can_be_given_banks_too() -> None:
    config = BackboneConfig(name="cifar_convnet", shared=())
    found = build_backbone(config, 3, (32, 32), CifarConvNet)
    assert [unit.name for unit in found.units] == ["stem", "dense1", "dense2", "dense3"]
    assert found.units[0].places == ("conv1", "conv2", "conv3", "conv4")


def layers(module: nn.Module) -> list[str]:
    return [type(m).__name__ for m in module.modules() if not any(True for _ in m.children())]


def test_layers_come_in_the_order_of_the_published_code() -> None:
    conv = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    dense = ["Linear", "ReLU"]
    dkl = DklConvNet(10, 1, (28, 28))
    assert layers(dkl) == [*conv * 3, "Flatten", *dense, "Linear"]
    assert dkl.get_submodule("dense.linear").in_features == 288
    cifar = CifarConvNet(5, 3, (32, 32))
    assert layers(cifar) == [*conv * 4, "Flatten", *dense * 3, "Linear"]
    assert cifar.get_submodule("dense1.linear").in_features == 128
    omniglot = OmniglotConvNet(7, 1, (105, 105))
    assert layers(omniglot) == [*conv * 4, "AdaptiveAvgPool2d", "Flatten", "Linear"]


Factory = Callable[..., nn.Module]


@pytest.mark.parametrize(
    ("factory", "channels", "size"),
    [
        (DklConvNet, 3, (8, 8)),
        (DklConvNet, 1, (9, 31)),
        (CifarConvNet, 1, (16, 47)),
        (OmniglotConvNet, 3, (16, 16)),
        (OmniglotConvNet, 1, (28, 28)),
    ],
)
def test_other_image_sizes_work(factory: Factory, channels: int, size: tuple[int, int]) -> None:
    model = factory(num_classes=4, in_chans=channels, img_size=size)
    assert model(torch.rand(2, channels, *size)).shape == (2, 4)


@pytest.mark.parametrize(
    ("factory", "size", "message"),
    [
        (DklConvNet, (7, 28), "'dkl_convnet' needs images of at least 8x8 pixels, found 7x28"),
        (CifarConvNet, (32, 15), "'cifar_convnet' needs .* 16x16 pixels, found 32x15"),
        (OmniglotConvNet, (15, 15), "'omniglot_convnet' needs .* 16x16 pixels, found 15x15"),
        (DklConvNet, None, "'dkl_convnet' needs images, found inputs without"),
    ],
)
def test_unsuitable_inputs_are_refused(
    factory: Factory, size: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        factory(num_classes=4, in_chans=1, img_size=size)


def test_an_option_that_does_not_exist_is_refused() -> None:
    config = BackboneConfig(name="dkl_convnet", args={"depth": 3})
    with pytest.raises(MtlError, match="depth"):
        build_backbone(config, 1, (28, 28), DklConvNet)


def test_the_hook_names_factories_that_exist() -> None:
    found = mtl_backbones()
    assert set(NETWORKS) < set(found)
    for name, where in found.items():
        module, attribute = where.split(":")
        factory = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert factory.__doc__
        assert name not in NETWORKS or factory is NETWORKS[name][0]


# -- the routed pass ----------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_routed_pass_agrees_with_the_loops(name: str, normalization: str) -> None:
    factory, (channels, _, _), _, _ = NETWORKS[name]
    torch.manual_seed(0)
    config = BackboneConfig(name=name, normalization=normalization)
    found = build_backbone(config, channels, (17, 19), factory)
    tasks = make_tasks(shape=(channels, 17, 19))
    network = TaskNetworks(found, tasks, 3).double().train()
    batch = make_batch(tasks)
    assignments = make_assignments("random", 4, len(found.units), len(tasks), 3)
    expected = Oracle(network).step(batch, assignments)
    losses = network.accumulate_gradients(batch, assignments)
    close: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(losses, expected.losses, **close)
    for key, parameter in network.named_parameters():
        assert (parameter.grad is None) == (key not in expected.gradients)
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.gradients[key], **close)
    for key, buffer in network.named_buffers():
        if key != "assignment":
            torch.testing.assert_close(buffer, expected.buffers[key], **close)


def test_a_task_taken_out_is_the_plain_network() -> None:
    name = "dkl_convnet"
    network = TaskNetworks(backbone(name), suite(name).tasks, 3).eval()
    network.assignment.copy_(torch.tensor([[0, 1, 2]] * 4))
    inputs = torch.rand(5, 1, 28, 28)
    for task in range(3):
        plain = network.extract(task)
        assert type(plain) is DklConvNet
        with torch.no_grad():
            torch.testing.assert_close(plain(inputs), network.predict(task, inputs))
