"""A traced program computes nothing twice once its equal calls are merged."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, fx, nn

from .weights import content_key


def merge_equal(module: fx.GraphModule) -> None:
    """Merge equal calls and tensors of a traced module, in place.

    Parameters are equal where they agree bit by bit, and so are buffers; calls are equal where they
    call one operator on equal values. With the networks of several tasks side by side, the units
    that tasks share on equal inputs run once. Two networks that share their first unit and read one
    image have the calls ``a = conv(x, w); b = conv(x, w)``: ``b`` is removed, and what read ``b``
    reads ``a``, so that the calls after it become equal, too.

    Operators that write to their inputs or draw random numbers stay as they are.

    Args:
        module: a module of functional operators, as ``run_decompositions`` makes it.
    """
    known: dict[Hashable, fx.Node] = {}
    for node in list(module.graph.nodes):
        key = _key(module, node)
        if key is None:
            continue
        first = known.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        if name not in used:
            owner, _, own = name.rpartition(".")
            delattr(module.get_submodule(owner), own)


def _key(module: fx.GraphModule, node: fx.Node) -> Hashable | None:
    """Return a key that nodes of equal value have in common; ``None`` where that is unknown."""
    if node.op == "get_attr":
        value = _attribute(module, str(node.target))
        if not isinstance(value, Tensor):
            return None
        # a fresh norm's bias equals its running mean, but only one of the two may have a gradient
        return "tensor", isinstance(value, nn.Parameter), content_key(value)
    if node.op != "call_function" or not _is_pure(node.target):
        return None
    try:
        arguments = _frozen(node.args), _frozen(node.kwargs)
        hash(arguments)
    except TypeError:
        return None
    return node.target, arguments


def _is_pure(target: Any) -> bool:
    if not isinstance(target, torch._ops.OpOverload):
        return True  # of operator and math: indices of tuples, sizes
    random = torch.Tag.nondeterministic_seeded in target.tags
    return not (random or target._schema.is_mutable)


def _frozen(value: Any) -> Hashable:
    """Turn a call's arguments into a key that tells 1 and True apart."""
    if isinstance(value, dict):
        return tuple((key, _frozen(each)) for key, each in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return "sequence", tuple(_frozen(each) for each in value)
    if isinstance(value, slice):
        return "slice", _frozen((value.start, value.stop, value.step))
    return type(value).__name__, value


def _attribute(module: fx.GraphModule, name: str) -> object:
    value: object = module
    for part in name.split("."):
        value = getattr(value, part)
    return value
