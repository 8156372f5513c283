"""In training by several processes (torchrun) every rank draws the same assignments.

DistributedDataParallel is not used: weights that no path uses have no gradient, and which those are
changes from step to step, and from process to process where labels are missing. Ranks see different
examples, and average what they learn from them. One rule holds for gradients, losses and running
statistics: processes first agree on what any of them has; whoever lacks it hands in zeros with
weight zero, so that the mean is over those that have it.

The first process alone writes files and speaks to the user.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import ProcessLostError

T = TypeVar("T")


def is_distributed() -> bool:
    """Say whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def process_count() -> int:
    """Return the number of processes that train together; 1 where this one is alone."""
    return dist.get_world_size() if is_distributed() else 1


def process_number() -> int:
    """Return the number of this process among those that train together, from 0 on."""
    return dist.get_rank() if is_distributed() else 0


def is_first() -> bool:
    """Say whether this process writes files and speaks to the user: the first one, or the only."""
    return process_number() == 0


def from_first(value: T) -> T:
    """Return the first process's value in every process; every process has to get here.

    Args:
        value: anything that can be pickled; that of the other processes is not used.

    Raises:
        ProcessLostError: if another process has ended.
    """
    if not is_distributed():
        return value
    held: list[Any] = [value if is_first() else None]
    with _exchange():
        dist.broadcast_object_list(held, src=0)
    return cast(T, held[0])


def gathered(value: T) -> list[T]:
    """Return the values of all processes, in their order; every process has to get here.

    Raises:
        ProcessLostError: if another process has ended.
    """
    if not is_distributed():
        return [value]
    held: list[Any] = [None] * process_count()
    with _exchange():
        dist.all_gather_object(held, value)
    return cast(list[T], held)


def wait_for_all() -> None:
    """Wait until every process has got here.

    Raises:
        ProcessLostError: if another process has ended.
    """
    all_reduce_sum(torch.zeros(1))


@contextmanager
def first_goes_ahead() -> Iterator[None]:
    """Let the first process do what the block does before the others, e.g. download files."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()


@contextmanager
def _exchange() -> Iterator[None]:
    """Exchange inside; what the backend says of a process that has ended becomes one error.

    Raises:
        ProcessLostError: if that is so.
    """
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError("another process of this run has ended") from error


def _add_up(tensor: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> None:
    """Reduce a tensor in place over the processes."""
    with _exchange():
        dist.all_reduce(tensor, operation)


def all_reduce_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the weighted mean over the processes; ``values`` itself where there is only one.

    Args:
        values: this process's values; the shape is the same in all processes.
        weights: weights of this process's values, at least 0, of a shape that broadcasts to theirs.
            With 0 the process has no value there, and what stands in its place does not count.
            Where the weights of all processes are 0 the mean is 0. Default: 1.
    """
    if not is_distributed():
        return values
    if weights is None:
        return all_reduce_sum(values) / dist.get_world_size()
    weights = weights.to(values).expand_as(values)
    both = all_reduce_sum(torch.stack([torch.where(weights > 0, values * weights, 0), weights]))
    return both[0] / torch.where(both[1] > 0, both[1], 1)


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum over the processes, element by element."""
    if is_distributed():
        values = values.clone()
        _add_up(values)
    return values


def all_reduce_max(values: Tensor) -> Tensor:
    """Return the largest value over the processes, element by element."""
    if is_distributed():
        values = values.clone()
        _add_up(values, dist.ReduceOp.MAX)
    return values


def all_reduce_present(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    """Return means of many tensors, each over the processes that have it, in two exchanges a dtype.

    Where one process has 2 and nothing, and another 4 and 6, both get the means 3 and 6.

    Args:
        tensors: tensors of this process; ``None``: it has none.
        like: tensors of the same shapes, dtypes and device, which every process has.

    Returns:
        a mean for each of the tensors; an empty tensor where no process has one.
    """
    has = torch.tensor([float(tensor is not None) for tensor in tensors], device=like[0].device)
    _add_up(has)
    counts = has.tolist()
    means = [tensor.new_empty(0) for tensor in like]
    for dtype in dict.fromkeys(tensor.dtype for tensor in like):
        union = [n for n, x in enumerate(like) if counts[n] and x.dtype == dtype]
        if not union:
            continue
        own = [torch.zeros_like(like[n]) if (x := tensors[n]) is None else x for n in union]
        flat = torch.cat([tensor.reshape(-1) for tensor in own])
        _add_up(flat)
        parts = torch.split(flat, [like[n].numel() for n in union])
        for n, part in zip(union, parts, strict=True):
            means[n] = part.view(like[n].shape) / counts[n]
    return means


@contextmanager
def averaged_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Average over the processes what the block adds to the parameters' gradients.

    Each parameter's mean is over the processes whose block gave it a gradient; where none did, its
    gradient stays what it was. With one process nothing is done. Every process has to get here,
    whatever labels it lacks. After an error in the block gradients are as they were before it.

    Args:
        parameters: the parameters, in the same order in every process.
    """
    if not is_distributed():
        yield
        return
    held = {parameter: parameter.grad for parameter in parameters}
    for parameter in held:
        parameter.grad = None  # only what the block adds is averaged
    try:
        yield
    except BaseException:
        for parameter, gradient in held.items():
            parameter.grad = gradient
        raise
    own = [parameter.grad for parameter in held]
    means = all_reduce_present(own, [parameter.detach() for parameter in held])
    for (parameter, before), mean in zip(held.items(), means, strict=True):
        if not mean.numel():
            parameter.grad = before
            continue
        gradient = torch.empty_like(parameter).copy_(mean)  # lies in memory as its parameter does
        parameter.grad = gradient if before is None else before + gradient
