"""A strategy's state becomes plain values and back again, checked before anything changes."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..support.errors import MtlError

# Optimisers whose state for a parameter is one number or has the parameter's own shape.
_SHAPED = (
    torch.optim.SGD, torch.optim.ASGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam,
    torch.optim.RAdam, torch.optim.Adamax, torch.optim.Adagrad, torch.optim.Adadelta,
    torch.optim.RMSprop, torch.optim.Rprop,
)  # fmt: skip
_DEEPEST = 200  # containers within each other
_ADAM = {"step", "exp_avg", "exp_avg_sq"}


def is_stateful(value: object) -> bool:
    """Say whether a value has state that can be taken out and put back."""
    if isinstance(value, (torch.Generator, nn.Module)):
        return True
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def snapshot(value: Any, where: str, depth: int = 0) -> Any:
    """Replace every network, optimiser and generator in a value by its state.

    Tensors are not copied.

    Args:
        value: the value of an attribute, or what lies within it.
        where: name of the attribute, for messages.
        depth: number of containers that the value lies in.

    Raises:
        MtlError: if containers lie in each other without end.
    """
    if depth > _DEEPEST:
        raise MtlError(f"{where} is nested without end; save plain values")
    if isinstance(value, torch.Generator):
        return value.get_state()
    if is_stateful(value):
        return value.state_dict()
    if isinstance(value, Mapping):
        return {key: snapshot(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [snapshot(item, where, depth + 1) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def restored(value: Any, saved: Any, where: str) -> Any:
    """Return the value that an attribute needs so that its :func:`snapshot` is ``saved``.

    Networks, optimisers, generators, and tensors that keep their shape and dtype, are changed in
    place and returned; anything else is replaced.

    Args:
        value: the value that the attribute holds now.
        saved: the snapshot to be restored.
        where: name of the attribute, for messages.

    Raises:
        MtlError: if the snapshot is of something else.
    """
    if isinstance(value, torch.Generator):
        if not isinstance(saved, Tensor) or saved.dtype != torch.uint8:
            raise MtlError(f"{where} should be a generator's state, found {_kind(saved)}")
        value.set_state(saved)
        return value
    if is_stateful(value):
        if not isinstance(saved, Mapping):
            raise MtlError(f"{where} should be a state dict, found {_kind(saved)}")
        if isinstance(value, nn.Module):
            check_module_state(value, saved, where)
        if isinstance(value, torch.optim.Optimizer):
            check_optimizer_state(value, saved, where)
        if isinstance(value, torch.optim.lr_scheduler.LRScheduler):
            check_plain_state(value.state_dict(), saved, where)
        value.load_state_dict(saved)
        return value
    if isinstance(value, Mapping) and any(map(_holds_state, value.values())):
        if not isinstance(saved, Mapping) or set(saved) != set(value):
            raise MtlError(f"{where} should have the keys {', '.join(map(str, value))}")
        return {key: restored(item, saved[key], f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple) and any(map(_holds_state, value)):
        if not isinstance(saved, list | tuple) or len(saved) != len(value):
            raise MtlError(f"{where} should have {len(value)} entries, found {_kind(saved)}")
        pairs = enumerate(zip(value, saved, strict=True))
        return type(value)(restored(mine, item, f"{where}.{n}") for n, (mine, item) in pairs)
    if isinstance(value, Tensor):
        if not isinstance(saved, Tensor):
            raise MtlError(f"{where} should be a tensor, found {_kind(saved)}")
        if saved.shape == value.shape and saved.dtype == value.dtype:
            with torch.no_grad():
                value.copy_(saved)
            return value
        return saved.to(value.device)
    return saved


def check_module_state(module: nn.Module, saved: Mapping[Any, Any], where: str) -> None:
    """Refuse tensors that a module would not take, or would take converted.

    Raises:
        MtlError: naming the tensor.
    """
    own = module.state_dict()
    for name, mine in own.items():
        theirs = saved.get(name)
        if not isinstance(mine, Tensor) or name not in saved:
            continue  # what is missing, load_state_dict names
        if not isinstance(theirs, Tensor):
            raise MtlError(f"{where}: {name} should be a tensor, found {_kind(theirs)}")
        if theirs.dtype != mine.dtype or theirs.shape != mine.shape:
            raise MtlError(f"{where}: {name} should be {_kind(mine)}, found {_kind(theirs)}")


def check_optimizer_state(
    optimizer: torch.optim.Optimizer, saved: Mapping[Any, Any], where: str
) -> None:
    """Refuse a state whose tensors do not belong to the optimiser's parameters.

    The kernels of optimisers walk through memory without looking at shapes again.

    Raises:
        MtlError: naming the entry.
    """
    groups, states = saved.get("param_groups"), saved.get("state")
    if not isinstance(groups, list) or not isinstance(states, Mapping):
        raise MtlError(f"{where} should have param_groups and state")
    mine = optimizer.state_dict()["param_groups"]
    if len(groups) != len(mine):
        raise MtlError(f"{where} should have {len(mine)} groups, found {len(groups)}")
    for number, (own, other) in enumerate(zip(mine, groups, strict=True)):
        if not isinstance(other, Mapping) or other.get("params") != own["params"]:
            raise MtlError(f"{where}: group {number} is of other parameters")
        for key, value in own.items():
            if key in other and not _alike(value, other[key]):
                found = f"{str(other[key])[:40]!r}, not like {value!r}"
                raise MtlError(f"{where}: {key} of group {number} is {found}")
    parameters = itertools.chain.from_iterable(g["params"] for g in optimizer.param_groups)
    numbers = itertools.chain.from_iterable(group["params"] for group in mine)
    known = dict(zip(numbers, parameters, strict=True))
    for key, state in states.items():
        if key not in known:
            raise MtlError(f"{where} has a state for parameter {key}, which is not there")
        if isinstance(optimizer, _SHAPED):
            _check_shapes(optimizer, known[key], state, f"{where}: the state of parameter {key}")


def check_plain_state(mine: Mapping[Any, Any], saved: Mapping[Any, Any], where: str) -> None:
    """Refuse numbers, texts and lists in place of each other, as in a schedule's state.

    Raises:
        MtlError: naming the entry.
    """
    for key, value in mine.items():
        if key in saved and not _alike(value, saved[key]):
            raise MtlError(f"{where}: {key} is {str(saved[key])[:40]!r}, not like {value!r}")


def _check_shapes(
    optimizer: torch.optim.Optimizer, parameter: Tensor, state: Any, where: str
) -> None:
    if not isinstance(state, Mapping):
        raise MtlError(f"{where} should be a mapping, found {_kind(state)}")
    if isinstance(optimizer, torch.optim.Adam) and not set(state) >= _ADAM:
        raise MtlError(f"{where} should hold {', '.join(sorted(_ADAM))}")
    for name, value in state.items():
        if name == "step" and isinstance(value, int | float):
            continue
        if value is None and name in ("momentum_buffer", "grad_avg"):
            continue  # before the first step
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise MtlError(f"{where}: {name} should be a tensor of floats, found {_kind(value)}")
        if name in ("step", "eta", "mu", "mu_product") and value.numel() == 1:
            continue
        if value.shape != parameter.shape or name == "step":
            wanted = "one number" if name == "step" else f"of shape {tuple(parameter.shape)}"
            raise MtlError(f"{where}: {name} should be {wanted}, found {_kind(value)}")


def _alike(mine: Any, saved: Any) -> bool:
    """Say whether one option of an optimiser could stand in place of another."""
    if mine is None or saved is None or isinstance(mine, bool):
        return mine is None or saved is None or isinstance(saved, bool)
    if isinstance(mine, int | float):
        is_number = isinstance(saved, int | float) and not isinstance(saved, bool)
        return is_number or (isinstance(saved, Tensor) and saved.numel() == 1)
    if isinstance(mine, list | tuple):
        if not isinstance(saved, list | tuple) or len(saved) != len(mine):
            return False
        return all(_alike(a, b) for a, b in zip(mine, saved, strict=True))
    return isinstance(saved, type(mine))


def _holds_state(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_state, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_state, value))
    return is_stateful(value)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__
