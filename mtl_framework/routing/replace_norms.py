"""Routed batch norms are put where a model has plain ones."""

from timm.layers.norm_act import BatchNormAct2d, FrozenBatchNormAct2d, SyncBatchNormAct
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from ..support.errors import MtlError
from .forward_pass import ForwardPass
from .norms import RoutedBatchNorm
from .statistics_schedule import Normalization

BATCH_NORMS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    BatchNormAct2d,
    SyncBatchNormAct,
)
"""Classes that are replaced by :class:`RoutedBatchNorm`, matched exactly, not by inheritance."""

FIXED_NORMS: tuple[type[nn.Module], ...] = (FrozenBatchNorm2d, FrozenBatchNormAct2d)
"""Classes whose running statistics never change: they treat every row alike."""


def route_norms(
    module: nn.Module,
    forward_pass: ForwardPass,
    mode: Normalization,
    num_tasks: int,
    done: dict[nn.Module, nn.Module] | None = None,
) -> nn.Module:
    """Replace every batch norm in ``module``, itself included, and return the result.

    ``done`` maps the layers replaced so far, so that a tied layer stays one layer.

    Raises:
        MtlError: if another kind of layer keeps running statistics, naming it.
    """
    done = {} if done is None else done
    if type(module) in BATCH_NORMS:
        if module not in done:
            done[module] = RoutedBatchNorm(module, forward_pass, mode, num_tasks)
        return done[module]
    if isinstance(module, (RoutedBatchNorm, *FIXED_NORMS)):
        return module
    keeps = [name for name, _ in module.named_buffers(recurse=False) if "running_" in name]
    if keeps:
        raise MtlError(
            f"layer {type(module).__name__} keeps running statistics ({', '.join(keeps)}) in a way "
            f"that cannot be routed; known are {', '.join(c.__name__ for c in BATCH_NORMS)}"
        )
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = route_norms(child, forward_pass, mode, num_tasks, done)
    return module


def plain_norms(module: nn.Module, task: int) -> nn.Module:
    """Put plain batch norms back in ``module``, itself included, with one task's averages."""
    if isinstance(module, RoutedBatchNorm):
        return module.plain(task)
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = plain_norms(child, task)
    return module
