"""The host finds all modules and optimisers that a strategy holds, so that none is forgotten.

A strategy may hold more than its networks: a critic, a list of optimisers, a model within a model
of its own. All modules go to the run's device, all networks get its precision and memory budget,
and everything that trains has to be in the state that is saved; what is not is named at once.
"""

import contextlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.model import MultiTaskModel
from ..networks.parts import calls_one_by_one
from ..networks.repeated_steps import RepeatedSteps
from ..networks.separate import SeparateNetworks
from ..networks.task_networks import TaskNetworks
from ..networks.weighting import AGGREGATORS, GradientWeighting
from ..strategies.state import is_stateful
from ..strategies.strategy import Strategy
from ..support.distributed import is_distributed
from ..support.errors import MtlError
from .config import RunConfig

# Data, descriptions of models, recordings of steps: they hold no network that trains.
_DATA = (
    "mtl_framework.data", "mtl_framework.backbones.backbone", "pydantic",
    "mtl_framework.networks.repeated_steps",
)  # fmt: skip
_LEAVES = (str, bytes, int, float, complex, type, types.ModuleType, Tensor)
_CLOSED_OVER = (nn.Module, torch.optim.Optimizer, Mapping, list, tuple, set, types.FunctionType)
_MOST = 100_000
_INNER = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}


@dataclass
class Reach:
    """A reach has all modules, optimisers and generators that a strategy holds, and their paths.

    ``nested`` are those that lie within a container or an object, not in an attribute of their own.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    nested: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, strategy: Strategy) -> "Reach":
        """Walk through all that a strategy holds."""
        reach = cls()
        seen: set[int] = {id(strategy)}
        todo = [(f"self.{name}", value, False) for name, value in vars(strategy).items()]
        todo.reverse()
        while todo and len(seen) < _MOST:
            path, value, nested = todo.pop()
            if isinstance(value, _LEAVES) or value is None or id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, nn.Module):
                reach.modules[path] = value
            elif isinstance(value, torch.optim.Optimizer):
                reach.optimizers[path] = value
            elif isinstance(value, torch.Generator):
                continue
            if nested:
                reach.nested.add(path)
            todo += [(inner, item, True) for inner, item in _parts(path, value)]
        return reach

    def all_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Return each module once, with those that it holds as modules hold others."""
        seen: set[int] = set()
        for path, module in self.modules.items():
            for name, inner in module.named_modules():
                if id(inner) not in seen:
                    seen.add(id(inner))
                    yield f"{path}.{name}" if name else path, inner


def prepare_strategy(strategy: Strategy, config: RunConfig, device: torch.device) -> None:
    """Move all that a strategy holds to the device, and set every network's precision.

    Raises:
        MtlError: naming a tensor or optimiser that would be missing in checkpoints.
    """
    reach = Reach.of(strategy)
    check_saved(strategy, reach, config.strategy.name)
    for _, module in reach.all_modules():
        if isinstance(module, MultiTaskModel):
            module.precision, module.memory_budget = config.precision, config.memory_budget
            module.batched_weights = config.batched_weights
    _set_weighting(reach, config)
    for module in reach.modules.values():
        module.to(device)
    graphs = config.cuda_graphs and _no_graphs(reach, config, device) is None
    for network in _repeating(reach):
        network.repeated = RepeatedSteps(network) if graphs else None
    for optimizer in reach.optimizers.values():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.device != device:
                    parameter.data = parameter.data.to(device)


def _set_weighting(reach: Reach, config: RunConfig) -> None:
    """Set the config's ``training.weighting`` on all networks that can use it."""
    chosen = config.training.weighting
    if chosen is None:
        return
    networks = _weightable(reach)
    if not networks:
        raise MtlError(
            f"training.weighting needs networks over weight banks, or one a task, which strategy "
            f"{config.strategy.name!r} has none of: leave it out"
        )
    for network in networks:
        if network.weighting is not None and network.weighting.from_config:
            continue  # prepared before, and perhaps used since
        network.weighting = GradientWeighting(
            chosen.name, chosen.options, len(network.tasks), from_config=True
        )


def weightings(strategy: Strategy) -> list[GradientWeighting]:
    """Return the gradient weightings of a strategy's networks, in a fixed order."""
    networks = _weightable(Reach.of(strategy))
    return [network.weighting for network in networks if network.weighting is not None]


def _weightable(reach: Reach) -> list[TaskNetworks | SeparateNetworks]:
    """Return the networks whose ``accumulate_gradients`` uses a weighting."""
    return [
        module
        for _, module in reach.all_modules()
        if isinstance(module, TaskNetworks)
        or (
            isinstance(module, SeparateNetworks)
            and type(module).accumulate_gradients is SeparateNetworks.accumulate_gradients
        )
    ]


def weighting_notes(strategy: Strategy, config: RunConfig) -> list[str]:
    """Say where an aggregator has nothing to aggregate: every weight belongs to one task."""
    chosen = config.training.weighting
    networks = _weightable(Reach.of(strategy))
    if chosen is None or chosen.name not in AGGREGATORS:
        return []
    if any(isinstance(network, TaskNetworks) for network in networks):
        return []
    return [
        f"training.weighting={chosen.name}: every weight of {config.strategy.name!r} belongs to "
        "one task here, so that nothing is aggregated and each weight moves along its own task's "
        "gradient, which is not divided by the number of tasks"
    ]


def batching_notes(strategy: Strategy, config: RunConfig) -> list[str]:
    """Say where ``batched_weights`` changes nothing: no bank calls several weights one by one."""
    if not config.batched_weights:
        return []
    if any(calls_one_by_one(module) for _, module in Reach.of(strategy).all_modules()):
        return []
    return [
        f"batched_weights changes nothing: strategy {config.strategy.name!r} has no units here "
        "whose weights are called one by one"
    ]


def _repeating(reach: Reach) -> list[TaskNetworks]:
    """Return the networks whose steps can be replayed."""
    found = [module for _, module in reach.all_modules() if isinstance(module, TaskNetworks)]
    return [network for network in found if network.computes_alike]


def _no_graphs(reach: Reach, config: RunConfig, device: torch.device) -> str | None:
    """Say why no step of a run is replayed; ``None``: those that repeat are."""
    if device.type != "cuda":
        return f"the run is on {device.type}"
    if is_distributed():
        return "several processes train together"
    if config.training.weighting is not None:
        return "training.weighting needs the gradients of every task"
    if not _repeating(reach):
        return f"strategy {config.strategy.name!r} has no networks whose steps can be replayed"
    return None


def graph_notes(strategy: Strategy, config: RunConfig, device: torch.device) -> list[str]:
    """Say where ``cuda_graphs`` changes nothing, and why."""
    if not config.cuda_graphs:
        return []
    reason = _no_graphs(Reach.of(strategy), config, device)
    return [] if reason is None else [f"cuda_graphs changes nothing: {reason}"]


def check_weighting_used(strategy: Strategy, config: RunConfig) -> None:
    """Raise an error if the strategy's first step did not use the weighting.

    Raises:
        MtlError: naming the method and the strategy.
    """
    made = weightings(strategy)
    if made and not any(weighting.uses for weighting in made):
        raise MtlError(
            f"training.weighting={made[0].name} had no effect in the first step: strategy "
            f"{config.strategy.name!r} does not train by accumulate_gradients of its networks; "
            "leave it out"
        )


def check_saved(strategy: Strategy, reach: Reach, name: str) -> None:
    """Raise an error if a strategy's state leaves out something that trains.

    Args:
        strategy: the strategy, after ``build``.
        reach: all that the strategy holds.
        name: name of the strategy, for messages.

    Raises:
        MtlError: naming the first network, optimiser or parameter that is not saved.
    """
    state = strategy.state_dict()
    saved = set(_tensors(state))
    remedy = "give it an attribute of its own, or name it by register_state"
    for path, module in reach.all_modules():
        for inner, tensor in (*_own_tensors(module),):
            if tensor.numel() and _place(tensor) not in saved:
                raise MtlError(
                    f"strategy {name!r}: {path}.{inner} would be left out of checkpoints; {remedy}"
                )
    nested = [path for path in reach.optimizers if path in reach.nested]
    if nested and _count_optimizers(state) < len(reach.optimizers):
        raise MtlError(
            f"strategy {name!r}: the optimiser {nested[0]} would be left out of checkpoints; "
            f"{remedy}"
        )
    for path, optimizer in reach.optimizers.items():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.numel() and _place(parameter) not in saved:
                    raise MtlError(
                        f"strategy {name!r}: {path} trains a tensor of shape "
                        f"{tuple(parameter.shape)} that no checkpoint would hold; name it by "
                        "register_state"
                    )


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value holds, each with how it is reached."""
    if isinstance(value, Mapping):
        yield from ((f"{path}[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"{path}[{number}]", item) for number, item in enumerate(value))
    elif isinstance(value, nn.Module):
        for name, module in value.named_modules():
            inner = f"{path}.{name}" if name else path
            for key, item in vars(module).items():
                if key not in _INNER and "hook" not in key:
                    yield f"{inner}.{key}", item
    elif isinstance(value, torch.optim.Optimizer):
        return
    elif isinstance(value, types.FunctionType):
        yield from _closed_over(path, value)
    elif is_stateful(value) or type(value).__module__.startswith((*_DATA, "torch", "numpy")):
        return  # saves what it holds itself, or holds nothing that trains
    else:
        yield from ((f"{path}.{key}", item) for key, item in getattr(value, "__dict__", {}).items())


def _closed_over(path: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the modules, optimisers and containers that a plugin's function has of its maker."""
    if function.__module__.startswith("mtl_framework."):  # the host's guards around hooks
        return
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            if isinstance(cell.cell_contents, _CLOSED_OVER):
                yield f"{path}: {name}", cell.cell_contents
    if isinstance(inner := getattr(function, "__wrapped__", None), types.FunctionType):
        yield f"{path}.__wrapped__", inner


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(recurse=False)
    for name, buffer in module.named_buffers(recurse=False):
        if name not in module._non_persistent_buffers_set:
            yield name, buffer


def _tensors(state: Any) -> Iterator[tuple[object, ...]]:
    if isinstance(state, Tensor):
        yield _place(state)
    elif isinstance(state, Mapping):
        for item in state.values():
            yield from _tensors(item)
    elif isinstance(state, list | tuple):
        for item in state:
            yield from _tensors(item)


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.device, tensor.data_ptr(), tensor.numel()


def _count_optimizers(state: Any) -> int:
    if isinstance(state, Mapping):
        if set(state) >= {"state", "param_groups"}:
            return 1
        return sum(map(_count_optimizers, state.values()))
    if isinstance(state, list | tuple):
        return sum(map(_count_optimizers, state))
    return 0
