"""Max-poolings that directly follow a batch norm, across modules, are found by running a model.

In timm's ResNets ``conv1``, ``bn1``, ``act1`` and ``maxpool`` stand side by side in the model
itself, whose ``forward`` says what is called after what. Two passes show it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..routing.cpu.pooled_norm import pooling_of
from .units import Place

Chain = tuple[str, ...]


def direct_poolings(
    model: nn.Module, inputs: Tensor, places: Sequence[Place] = ()
) -> tuple[Chain, ...]:
    """Return names of layers that do nothing but normalise, activate and pool one tensor.

    What the norm returns goes to ReLU, if there is one, then to max-pooling, and nothing else reads
    it: no operation of the pass does, and it is not in the result. That holds in evaluation and in
    training.

    Args:
        model: a plain model; it is run, not changed, but for its mode: evaluation.
        inputs: inputs (B, ...), of which two are used.
        places: places of the units that get banks; what lies in them is left out.

    Returns:
        for each max-pooling found ``(norm, pooling)`` or ``(norm, activation, pooling)``.
    """
    own = [name for place in places for name in place.names]
    layers = {
        name: layer
        for name, layer in model.named_modules(remove_duplicate=False)
        if type(layer) in (nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
        and not any(name == outer or name.startswith(f"{outer}.") for outer in own)
    }
    known = {type(layer) for layer in layers.values()}
    if not {nn.BatchNorm2d, nn.MaxPool2d} <= known:
        return ()
    found = [_chains(model, layers, inputs[:2], training) for training in (False, True)]
    return tuple(chain for chain in found[0] if chain in found[1])


def _chains(
    model: nn.Module, layers: Mapping[str, nn.Module], inputs: Tensor, training: bool
) -> list[Chain]:
    model.train(training)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.eval()  # which moves no running average
    watch = _Watch()
    try:
        with torch.no_grad(), watch.watching(layers), watch:
            result = model(inputs)
    finally:
        model.eval()
    returned = {_memory(leaf) for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)}
    chains = []
    for last in layers:
        chain = _chain_to(last, layers, watch)
        if chain is None:
            continue
        outputs = {_memory(watch.calls[name][0][1]) for name in chain[:-1]}
        readers = {reader for memory in outputs for reader in watch.readers.get(memory, ())}
        if readers <= {*chain[1:]} and not outputs & returned:
            chains.append(chain)
    return chains


def _chain_to(last: str, layers: Mapping[str, nn.Module], watch: "_Watch") -> Chain | None:
    """Go back from a max-pooling to a norm, over layers that are called once, by one name each."""
    if type(layers[last]) is not nn.MaxPool2d:
        return None
    chain: Chain = (last,)
    for kind in (nn.ReLU, nn.BatchNorm2d):
        if len(watch.calls.get(chain[0], ())) != 1:
            return None
        entered = watch.calls[chain[0]][0][0]
        before = [
            name
            for name, calls in watch.calls.items()
            if type(layers[name]) is kind and any(given is entered for _, given in calls)
        ]
        # an activation in place returns its input, which the norm has returned, too
        if len(before) > 1:
            return None
        chain = (*before, *chain)
    norm, *rest = chain
    if type(layers[norm]) is not nn.BatchNorm2d or len(watch.calls[norm]) != 1:
        return None
    modules = [layers[name] for name in chain]
    alone = all(sum(one is other for other in layers.values()) == 1 for one in modules)
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    pooling = pooling_of([layers[name] for name in rest])
    return chain if alone and not hooked and pooling and pooling[1] == len(rest) else None


class _Watch(TorchDispatchMode):
    """A watch notes what layers take and return, and which of them reads a piece of memory.

    Attributes:
        calls: for every layer that is called, input and output of its calls. They are kept, so that
            no other tensor gets their memory during the pass.
        readers: for every piece of memory the layers that read it; "" stands for all else.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.readers: dict[int, set[str]] = {}
        self._inside = ""
        self._kept: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Note which memory an operation reads, then run it."""
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self.readers.setdefault(_memory(leaf), set()).add(self._inside)
        return function(*args, **(kwargs or {}))

    @contextmanager
    def watching(self, layers: Mapping[str, nn.Module]) -> Iterator[None]:
        """Note the calls of layers inside a ``with`` block."""

        def enter(name: str) -> Any:
            def hook(module: nn.Module, args: Any) -> None:
                self._inside = name

            return hook

        def leave(name: str) -> Any:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                self._inside = ""
                if (memory := _memory(output)) not in self._kept:
                    self._kept.add(memory)
                    self.readers[memory] = set()  # what read it before was another tensor's
                self.calls.setdefault(name, []).append((args[0], output))

            return hook

        handles = []
        for name, layer in layers.items():
            handles.append(layer.register_forward_pre_hook(enter(name)))
            handles.append(layer.register_forward_hook(leave(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _memory(tensor: Tensor) -> int:
    """Return where a tensor's values begin; 0 where they are not in one piece."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0
