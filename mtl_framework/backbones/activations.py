"""The memory that the backward pass of a backbone needs is measured."""

from typing import Any

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .inputs import probe_inputs


def measure_activations(backbone: Backbone) -> tuple[int, ...]:
    """Return the bytes that autograd keeps for one row in training, by level, in float32.

    Level u + 1 holds what is kept from the first call of unit u to that of unit u + 1.
    """
    sizes = [0] * (len(backbone.units) + 1)
    level, seen = 0, set()
    with torch.random.fork_rng(devices=[]):
        model = backbone.recipe.create(2, pretrained=False).train()
        inputs = probe_inputs(2, backbone.input_shape, backbone.input_dtype)
        parameters = {p.data_ptr() for p in model.parameters()}

        def enter(unit: int) -> Any:
            def hook(module: nn.Module, args: Any) -> None:
                nonlocal level
                level = max(level, unit + 1)

            return hook

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if tensor.data_ptr() not in parameters and storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                sizes[level] += storage.nbytes()
            return tensor

        for number, places in enumerate(backbone.places):
            for place in places:
                model.get_submodule(place.names[0]).register_forward_pre_hook(enter(number))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(inputs)
    del output
    return tuple(size // len(inputs) for size in sizes)
