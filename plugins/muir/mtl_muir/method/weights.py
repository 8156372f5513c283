"""The weights of a network that are generated are chosen here.

Biases, norms and embeddings stay ordinary parameters, and so do the first and the last layer
(section 2.1 of the paper), grouped convolutions, and weights that several layers use.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from mtl_framework import MtlError, UnknownNameError, message_of

from .decomposition import BlockGrid

Indivisible = Literal["error", "discard", "ordinary"]


@dataclass(frozen=True)
class GeneratedWeight:
    """A generated weight is a weight tensor that consists of generated blocks.

    Args:
        layer: name of the module in its network.
        name: name of the parameter in its network.
        grid: the grid of its blocks.
        deviation: sigma, the standard deviation that its entries start with.
    """

    layer: str
    name: str
    grid: BlockGrid
    deviation: float


def find_weights(
    network: nn.Module,
    inputs: Tensor,
    num_outputs: int,
    block: tuple[int, int],
    *,
    indivisible: Indivisible = "error",
    layers: Sequence[str] | None = None,
    class_layers: Sequence[str] = (),
    library: bool = False,
    name: str = "",
) -> tuple[GeneratedWeight, ...]:
    """Find weights of a network that can be generated, in the order in which they are used.

    The network is run once. Where nothing but its first and last layer could take part, these do.

    Args:
        network: the network, in evaluation mode; its state may change.
        inputs: inputs that the network takes.
        num_outputs: number of outputs of the network's last layer.
        block: (m, n), numbers of output and input units of a block.
        indivisible: what happens to weights that blocks do not divide: refused, covered by blocks
            whose overhang is discarded, or left ordinary.
        layers: names or globs of the layers that take part, of this network or of others; default:
            all but the first and the last.
        class_layers: further layers that stay ordinary.
        library: whether ``deviation`` is that of the network's own weights instead of He's rule.
        name: name of the network, for errors.

    Raises:
        MtlError: if a weight is not divided by the blocks, or no weight can be generated.
    """
    run = _layers_in_order(network, inputs, name)
    able = {layer: module for layer, module in run.items() if _can_take_part(module)}
    if layers is not None:
        chosen = {k: v for k, v in able.items() if any(fnmatchcase(k, p) for p in layers)}
        if not chosen:
            raise UnknownNameError(f"layer of {name!r} in layers", ", ".join(layers), able)
    else:
        ordinary = {*_ends(run, num_outputs), *class_layers}
        chosen = {k: v for k, v in able.items() if k not in ordinary} or able
    users = _users(network)
    weights = []
    for layer, module in chosen.items():
        for own, parameter in _weights_of(module):
            if users[parameter] > 1:
                continue
            grid = BlockGrid(tuple(parameter.shape), *block)
            if not grid.divides and indivisible == "error":
                raise _not_divided(f"{layer}.{own} of {name!r}", parameter, block)
            if grid.divides or indivisible == "discard":
                deviation = _spread(parameter) if library else he_deviation(module, parameter)
                key = f"{layer}.{own}".lstrip(".")
                weights.append(GeneratedWeight(layer, key, grid, deviation))
    if not weights:
        raise MtlError(
            f"no weight of {name!r} can be generated in blocks of {block[0]} x {block[1]}: it has "
            f"{len(able)} dense, convolution and LSTM layers that could take part"
        )
    return tuple(weights)


def _not_divided(which: str, weight: Tensor, block: tuple[int, int]) -> MtlError:
    return MtlError(
        f"weight {which} has {weight.shape[0]} outputs and {weight.shape[1]} inputs, which blocks "
        f"of {block[0]} x {block[1]} do not divide; allowed: other block_out and block_in, "
        "indivisible=discard, indivisible=ordinary"
    )


def _ends(run: Mapping[str, nn.Module], num_outputs: int) -> list[str]:
    """Return the first of the layers, and the last one where it gives the outputs."""
    order = list(run)
    last = order[-1:] if order and _width(run[order[-1]]) == num_outputs else []
    return [*order[:1], *last]


def layers_of(network: nn.Module, inputs: Tensor, name: str) -> tuple[str, ...]:
    """Return the names of a network's layers that could take part."""
    run = _layers_in_order(network, inputs, name)
    return tuple(layer for layer, module in run.items() if _can_take_part(module))


def check_patterns(patterns: Sequence[str], layers: Sequence[str]) -> None:
    """Refuse a pattern that fits no layer of any network.

    Raises:
        UnknownNameError: naming it.
    """
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise UnknownNameError("layer in layers", pattern, dict.fromkeys(layers))


def he_deviation(module: nn.Module, weight: Tensor) -> float:
    """Compute He's sqrt(2 / inputs of an output) for ReLU; 1 / sqrt(H) for an LSTM of H units.

    This is as in the published code; the library starts an LSTM with a third of that variance.
    """
    if isinstance(module, nn.LSTM):
        return 1 / math.sqrt(module.hidden_size)
    return math.sqrt(2 / weight[0].numel())


def _spread(weight: Tensor) -> float:
    """Return the root of the mean square, which is what a generated weight is to start with."""
    value = float(weight.detach().double().square().mean().sqrt())
    return value or 1.0


def _can_take_part(module: nn.Module) -> bool:
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return module.groups == 1
    return isinstance(module, (nn.Linear, nn.LSTM))


def _weights_of(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Return a layer's matrices, an LSTM's layer by layer, input-to-hidden first."""
    for name, parameter in module.named_parameters(recurse=False):
        if name.startswith("weight") and parameter.ndim >= 2:
            yield name, parameter


def _width(module: nn.Module) -> int:
    """Return the number of a layer's outputs, as its weight says."""
    return next(p.shape[0] for p in module.parameters(recurse=False) if p.ndim >= 2)


def _users(network: nn.Module) -> dict[nn.Parameter, int]:
    counts: dict[nn.Parameter, int] = {}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            counts[parameter] = counts.get(parameter, 0) + 1
    return counts


def _layers_in_order(network: nn.Module, inputs: Tensor, name: str) -> dict[str, nn.Module]:
    """Return layers with a matrix of their own, in the order of their first call."""
    called: dict[str, nn.Module] = {}

    def note(layer: str) -> Callable[[nn.Module, object], None]:
        def hook(module: nn.Module, _: object) -> None:
            called.setdefault(layer, module)

        return hook

    hooks = [
        module.register_forward_pre_hook(note(layer))
        for layer, module in network.named_modules()
        if not any(True for _ in module.children())
        and any(p.ndim >= 2 for p in module.parameters(recurse=False))
    ]
    try:
        with torch.no_grad():
            network(inputs)
    except Exception as error:
        reason = message_of(error)
        raise MtlError(
            f"{name!r} cannot run on inputs of shape {tuple(inputs.shape)}: {reason}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return called
