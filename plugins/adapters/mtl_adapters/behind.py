"""This module runs a plain model to see which batch norm reads the output of which layer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mtl_framework import Backbone, MtlError

_BATCH_NORM: type[nn.Module] = nn.modules.batchnorm._BatchNorm


@torch.no_grad()
def norms_behind(backbone: Backbone, layers: Iterable[str]) -> dict[str, str]:
    """Return, by the name of a layer, the name of the batch norm that reads its output.

    Layers whose output no batch norm reads are left out. In evaluation mode a series adapter adds a
    constant to every output channel. When the adapter is merged, that constant goes into the bias
    of the layer; a layer without bias leaves it to the running mean of the batch norm behind it.

    Args:
        backbone: the backbone whose plain model is run once, on zeros.
        layers: names of the plain model's layers that get series adapters.

    Raises:
        MtlError: if the model does not call one of the layers, or one has neither a bias nor a
            batch norm behind it; the message names the layer.
    """
    with torch.random.fork_rng(devices=[]):
        model = backbone.recipe.create(2, pretrained=False).eval()
    returned: dict[int, tuple[str, Tensor]] = {}  # tensors are kept, so that ids stay theirs
    pairs: dict[str, str] = {}
    called: set[str] = set()

    def watch(name: str, module: nn.Module) -> None:
        def read(_: nn.Module, inputs: Any) -> None:
            known = returned.get(id(inputs[0]))
            if known is not None:
                pairs[known[0]] = name

        def gave(_: nn.Module, inputs: Any, output: Tensor) -> None:
            called.add(name)
            returned[id(output)] = (name, output)

        if isinstance(module, _BATCH_NORM):
            module.register_forward_pre_hook(read)
        elif name in wanted:
            module.register_forward_hook(gave)

    wanted = list(layers)
    for name, module in model.named_modules():
        watch(name, module)
    model(torch.zeros(2, *backbone.input_shape, dtype=backbone.input_dtype))
    for name in wanted:
        if name not in called:
            raise MtlError(
                f"kind: series cannot stand behind layer {name!r} of backbone {backbone.name!r}, "
                "which is not called as a module: use kind: parallel, or leave it out by layers"
            )
        if name not in pairs and getattr(model.get_submodule(name), "bias", None) is None:
            raise MtlError(
                f"kind: series cannot be merged into layer {name!r} of backbone {backbone.name!r}, "
                "which has no bias and no batch norm behind it: use kind: parallel, or leave it "
                "out by layers"
            )
    return pairs
