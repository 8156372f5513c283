"""A small dense backbone, and batches for it."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.tasks import Binary, Examples, Suite, Task


class Dense(nn.Sequential):
    """Two dense units behind a shared dense stem; with ``norm``, batch norm in each of them."""

    def __init__(
        self, num_classes: int, in_chans: int, img_size: None, width: int = 8, norm: bool = False
    ) -> None:
        super().__init__(
            OrderedDict(
                stem=_layer(in_chans, width, norm),
                one=_layer(width, width, norm),
                two=_layer(width, width, norm),
                classifier=nn.Linear(width, num_classes),
            )
        )

    def units(self) -> dict[str, list[str]]:
        return {name: [name] for name in ("stem", "one", "two")}

    def get_classifier(self) -> nn.Module:
        return self.get_submodule("classifier")


def _layer(in_features: int, out_features: int, norm: bool) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(in_features, out_features), nn.ReLU()]
    if norm:
        layers.insert(1, nn.BatchNorm1d(out_features))
    return nn.Sequential(*layers)


def dense_backbone(inputs: int = 6, shared: Sequence[str] = ("stem",), **args: object) -> Backbone:
    config = BackboneConfig(name="dense", shared=tuple(shared), args=args)
    return build_backbone(config, inputs, None, Dense, input_shape=(inputs,))


def binary_suite(tasks: int, inputs: int = 6, examples: int = 8) -> Suite:
    """Tasks with random labels; their data is only there to be valid."""
    found = []
    for number in range(tasks):
        data = Examples(torch.rand(examples, inputs), torch.arange(examples) % 2)
        found.append(Task(f"task{number}", Binary(), data, data))
    return Suite("binary", found)
