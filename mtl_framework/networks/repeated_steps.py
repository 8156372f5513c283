"""On a GPU a step that repeats is recorded once, as a CUDA graph, and replayed from then on.

Where networks are small, starting its kernels costs more than they run. A step whose plan is that
of the steps before it starts the same kernels on the same memory, so that one launch can replace
some hundred: the assignment stands still where nothing is searched, and in a search before it
begins and after it has ended. What changes from step to step is copied to where the recording
reads it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.batches import Batch
from ..routing.norms import RoutedBatchNorm
from ..routing.seen import Seen, SeenByOne
from ..support.errors import MtlError, message_of
from .planning import StepPlan

Shares = list[Float[Tensor, "_ _"]] | None
"""For each micro-batch how much its losses (samples, tasks) count; ``None``: all alike."""

Compute = Callable[[Batch, Shares], list[Float[Tensor, "_ _"]]]
"""Adds the gradients of a step, and returns the losses (samples, tasks) of each micro-batch."""

_WARM_UP = 3  # steps: libraries choose their kernels, and plans put what they need on the device


class DeviceGraph(Protocol):
    """A device graph records what a function starts on a device, and starts it again."""

    def record(self, function: Callable[[], Sequence[Tensor]]) -> None:
        """Record a function, which returns what it has computed; nothing need be computed yet."""

    def replay(self) -> None:
        """Compute everything again, into the same tensors."""


class CudaGraph:
    """This is torch's CUDA graph: its memory is its own for as long as it stands."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def record(self, function: Callable[[], Sequence[Tensor]]) -> None:
        """Record what a function starts on the GPU."""
        # threads that read data ahead go on meanwhile: what they ask of the GPU is no mistake
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            function()

    def replay(self) -> None:
        """Start everything again, by one launch."""
        self._graph.replay()


class RepeatedSteps:
    """It runs the steps of networks, and replays those that repeat.

    A step repeats that has the plan, the shapes and the trained parameters of the one before it,
    with a label in every row. One recording is kept, that of the last such plan. Gradients of a
    replayed step stand in memory that the next one overwrites.

    Args:
        network: the networks; parameters and modules are those that they have now.
        new_graph: makes what records a step; tests give one that needs no GPU.
    """

    def __init__(self, network: nn.Module, new_graph: Callable[[], DeviceGraph] = CudaGraph):
        modules = list(network.modules())
        self._watched = _Watched(
            tuple(network.parameters()),
            tuple(network.buffers()),
            tuple(modules),
        )
        self._norms = tuple(m for m in modules if isinstance(m, RoutedBatchNorm))
        self._new_graph = new_graph
        self._recorded: _Recorded | None = None
        self._last: tuple[StepPlan, object] | None = None
        self._times = 0

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        """Leave a recording out of copies of the networks, whose memory is other memory."""
        return None

    @property
    def replays(self) -> bool:
        """Say whether a recording stands."""
        return self._recorded is not None

    def run(self, step: StepPlan, batch: Batch, shares: Shares, compute: Compute) -> list[Tensor]:
        """Run a step: compute it, or replay it where it has been recorded.

        Args:
            step: the plan of the step.
            batch: the batch, on the device.
            shares: how much the losses count.
            compute: computes the step.

        Raises:
            MtlError: if the step repeats and cannot be recorded.
        """
        if not self._can_repeat(batch):
            return compute(batch, shares)
        state = _shapes(batch, shares), self._watched.state()
        recorded = self._recorded
        if recorded is not None and recorded.step is step and recorded.state == state:
            return recorded.replay(batch, shares)
        again = self._last is not None and self._last[0] is step and self._last[1] == state
        self._times = self._times + 1 if again else 1
        self._last = step, state
        if self._times <= _WARM_UP:
            return compute(batch, shares)
        self._recorded = None  # its memory is free before the next is recorded
        self._recorded = self._record(step, state, batch, shares, compute)
        return self._recorded.replay(batch, shares)

    def _can_repeat(self, batch: Batch) -> bool:
        """Say whether nothing but plan, inputs and targets decides what a step computes."""
        whole = all(mask is None for mask in batch.labelled) and not any(batch.starts)
        fresh = all(parameter.grad is None for parameter in self._watched.parameters)
        return whole and fresh

    def _record(
        self, step: StepPlan, state: object, batch: Batch, shares: Shares, compute: Compute
    ) -> "_Recorded":
        static = _StaticInputs.like(batch, shares)
        graph = self._new_graph()
        made: list[_Outputs] = []

        def function() -> list[Tensor]:
            for parameter in self._watched.parameters:
                parameter.grad = None
            for norm in self._norms:
                norm.forget_gathered()
            parts = compute(static.batch, static.shares)
            made.append(_Outputs.of(parts, self._watched.parameters, self._norms))
            return made[-1].tensors()

        try:
            graph.record(function)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = message_of(error)
            raise MtlError(
                f"cuda_graphs: a step of these networks cannot be recorded ({reason}); set it to "
                "false"
            ) from error
        return _Recorded(step, state, graph, static, made[0])


@dataclass(frozen=True)
class _Watched:
    """What a recording has taken for granted: where tensors lie, what trains, and in which mode."""

    parameters: tuple[nn.Parameter, ...]
    buffers: tuple[Tensor, ...]
    modules: tuple[nn.Module, ...]

    def state(self) -> object:
        return (
            [(p.data_ptr(), p.requires_grad) for p in self.parameters],
            [buffer.data_ptr() for buffer in self.buffers],
            [module.training for module in self.modules],
        )


@dataclass(frozen=True)
class _StaticInputs:
    """The memory that a recording reads what changes from."""

    batch: Batch
    shares: Shares

    @classmethod
    def like(cls, batch: Batch, shares: Shares) -> "_StaticInputs":
        copies: dict[int, Tensor] = {}  # a common input stays one tensor

        def copied(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
            return tuple(copies.setdefault(id(x), x.clone()) for x in tensors)

        static = replace(batch, inputs=copied(batch.inputs), targets=copied(batch.targets))
        return cls(static, None if shares is None else list(copied(shares)))

    def copy(self, batch: Batch, shares: Shares) -> None:
        ours = *self.batch.inputs, *self.batch.targets, *(self.shares or ())
        given = *batch.inputs, *batch.targets, *(shares or ())
        pairs = {id(own): (own, new) for own, new in zip(ours, given, strict=True)}
        for own, new in pairs.values():
            own.copy_(new, non_blocking=True)


@dataclass(frozen=True)
class _Outputs:
    """What a step leaves behind: losses, gradients, and what norms have seen."""

    parts: list[Tensor]
    gradients: list[tuple[nn.Parameter, Tensor]]
    seen: list[tuple[RoutedBatchNorm, tuple[Seen | SeenByOne, ...]]]

    @classmethod
    def of(
        cls,
        parts: list[Tensor],
        parameters: Sequence[nn.Parameter],
        norms: Sequence[RoutedBatchNorm],
    ) -> "_Outputs":
        gradients = [(p, p.grad) for p in parameters if p.grad is not None]
        return cls(parts, gradients, [(n, n.seen) for n in norms if n.seen])

    def tensors(self) -> list[Tensor]:
        statistics = [each.statistics for _, own in self.seen for each in own]
        return [*self.parts, *(gradient for _, gradient in self.gradients), *statistics]


@dataclass(frozen=True)
class _Recorded:
    """A recorded step: what it holds for, where it reads, and what it writes."""

    step: StepPlan
    state: object
    graph: DeviceGraph
    static: _StaticInputs
    outputs: _Outputs

    def replay(self, batch: Batch, shares: Shares) -> list[Tensor]:
        self.static.copy(batch, shares)
        self.graph.replay()
        for parameter, gradient in self.outputs.gradients:
            parameter.grad = gradient
        for norm, own in self.outputs.seen:
            norm.see_again(own)
        return [part.clone() for part in self.outputs.parts]


def _shapes(batch: Batch, shares: Shares) -> object:
    """Return what inputs look like, and which of them are one tensor."""
    given = *batch.inputs, *batch.targets, *(shares or ())
    first: dict[int, int] = {}
    same = [first.setdefault(id(x), number) for number, x in enumerate(given)]
    return [(x.shape, x.dtype, x.stride(), x.device) for x in given], same, shares is None
