"""Cross-stitch networks of several kinds, and the same as plain loops."""

from dataclasses import replace
from typing import Any

import torch
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.strategy import cross_stitch_units, mixed_units
from torch import Tensor, nn

from mtl_framework import hookimpl
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.tasks import Suite
from support.dense import Dense, binary_suite
from support.makers import make_tasks, on_one_input
from support.tiny import tiny_suite

CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}


NARROW: dict[str, Any] = {"args": {"channels": (8, 12, 16, 20)}}


# models of small images, with the options that keep them small
MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {**NARROW, "granularity": "stage"},
    "swin_tiny_patch4_window7_224": {
        "granularity": "stage",
        "args": {"depths": (1, 1, 1, 1), "embed_dim": 12, "drop_path_rate": 0.0},
    },
    "vit_tiny_patch16_224": {"args": {"depth": 2, "embed_dim": 24}},
}


def images_suite(classes: Any = (2, 3)) -> Suite:
    return Suite("drawn", make_tasks(classes))


def networks(
    backbone: Backbone,
    suite: Suite,
    mixing: str = "scalar",
    own_weight: float = 0.9,
    group_major: bool = True,
    after: Any = "block",
    all_read_first: bool = False,
) -> ColumnNetworks:
    """In float64, with mixing weights and running averages that differ from place to place."""
    torch.manual_seed(1)
    mixed = mixed_units(after, backbone)
    units = cross_stitch_units(backbone, mixed, len(suite), own_weight, mixing == "channel")
    network = ColumnNetworks(backbone, suite, units, all_read_first)
    network.planner.group_major = group_major
    stirred(network.double())
    return network


def stirred(network: Any) -> Any:
    generator = torch.Generator().manual_seed(2)

    def noise(tensor: Tensor) -> Tensor:
        return torch.rand(tensor.shape, generator=generator, dtype=torch.float64)

    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        # batch norms that end a residual branch start with 0
        if not tensor.is_floating_point():
            continue
        if "mixers" in name or "running" in name or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.data += 0.3 * noise(tensor)
    return network


def features(normalization: str) -> Backbone:
    """Two dense units with batch norms behind a shared stem with one."""
    config = BackboneConfig(name="dense", normalization=normalization, args={"norm": True})
    return build_backbone(config, 6, None, Dense, input_shape=(6,))


def features_suite(common_input: bool = False, tasks: int = 3) -> Suite:
    suite = binary_suite(tasks)
    return on_one_input(suite.tasks) if common_input else suite


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


def one_stem(network: ColumnNetworks) -> None:
    """Let the stem's averages be those of task 0 for all tasks, as training has them."""
    for buffer in network.model.get_submodule("stem").buffers():
        buffer.copy_(buffer[:1].clone() if buffer.ndim == 2 else buffer.clone())


def common_suite() -> Suite:
    """Both tasks of the tiny suite on the images of its first one."""
    suite = tiny_suite()
    first, second = suite.tasks
    parts: dict[str, Any] = {
        name: replace(split, inputs=first.splits()[name].inputs)
        for name, split in second.splits().items()
    }
    return Suite("common", [first, replace(second, **parts)], common_input=True)


class Common:
    @hookimpl
    def mtl_suites(self) -> dict[str, Any]:
        return {"common": common_suite}
