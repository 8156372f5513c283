"""How much each task's loss depends on each unit comes from one pass over all columns."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree

from ..data.batches import Batch
from ..routing.banks import WeightBank
from ..routing.layout import RowLayout
from ..routing.plan import RoutePlan
from ..support.errors import MtlError
from .mixture_networks import MixtureNetworks
from .running import assembled
from .task_networks import TaskNetworks


def unit_sensitivities(
    network: TaskNetworks, batch: Batch, assignments: Int[Tensor, "samples units tasks"]
) -> tuple[Float[Tensor, "samples units tasks"], Float[Tensor, "samples tasks"]]:
    """Return the derivatives of losses by factors of what units contribute, and the losses.

    A task's path through a unit has a factor m, which is one: where what the unit returns has the
    shape of what it reads, the path goes on with x + m (f(x) - x), else with m f(x). Only m's
    derivative is computed; nothing that the networks hold, or their own gradients, changes. Every
    place of a unit, and every tensor of rows that it returns, has the unit's factor.

    The columns (sample, task) of the pass share no rows, so that each has a derivative of its own:
    it costs as much as there are columns, and fits ``memory_budget`` by running fewer at a time.
    Two further copies of what every unit returns are kept, which that budget does not count.

    Args:
        network: the networks, in evaluation mode: norms use running averages, nothing is dropped.
        batch: examples of every task; one without a label in it has losses and derivatives of 0.
        assignments: weights by sample, unit and task.

    Raises:
        MtlError: in training mode, or if columns are mixed or units are mixtures.

    With several processes both are averaged over the processes that have labels of a task.
    """
    if network.training:
        raise MtlError("unit_sensitivities needs networks in evaluation mode: call eval()")
    if network.mixers or isinstance(network, MixtureNetworks):
        raise MtlError("unit_sensitivities needs networks without mixers and mixtures")
    step = network.plan(batch, assignments, apart=True)
    units, samples, tasks = assignments.shape[1], step.order.num_samples, step.order.num_tasks
    device, dtype = network.device, next(network.parameters()).dtype
    found = torch.zeros(samples, units, tasks, dtype=dtype, device=device)
    parts: list[Tensor] = []
    for micro_batch, plan in step.micro_batches:
        columns = plan.index(plan.columns.sample), plan.index(plan.columns.task)
        factors = torch.ones(units, len(columns[0]), dtype=dtype, device=device).requires_grad_()
        with torch.enable_grad(), _factors_in(network.banks(), factors):
            losses = network._run(batch, micro_batch, plan)
            (own,) = torch.autograd.grad(losses.sum(), factors)
        found[columns[0], :, columns[1]] = own.T
        parts.append(losses.detach())
    both = torch.cat([found.flatten(0, 1), assembled(step, parts, device).to(found)])
    both = network.averaged_losses(batch, both)
    return both[: samples * units].view(samples, units, tasks), both[samples * units :]


@contextmanager
def _factors_in(
    banks: Iterable[WeightBank], factors: Float[Tensor, "units columns"]
) -> Iterator[None]:
    """Let what the banks' units contribute to a pass inside have factors, by unit and column."""
    handles = []
    for bank in banks:
        watcher = _Watcher(bank, factors[bank.unit])
        handles += [
            bank.register_forward_pre_hook(watcher.before, with_kwargs=True),
            bank.register_forward_hook(watcher.after),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Watcher:
    """A watcher puts factors behind one bank.

    Args:
        bank: the bank, which belongs to networks that run with all columns apart.
        factors: the factor of every column of the pass.
    """

    def __init__(self, bank: WeightBank, factors: Float[Tensor, " columns"]) -> None:
        self._bank, self._factors = bank, factors
        self._call, self._level = 0, 0
        self._read: list[Tensor] = []

    def before(self, bank: Any, args: Any, kwargs: Any) -> None:
        """Keep copies of the rows that the bank reads, which it may change in place."""
        forward_pass = self._bank.forward_pass
        self._level, self._call = forward_pass.level, forward_pass.calls.get(id(self._bank), 0)
        leaves = pytree.tree_leaves((args, kwargs))
        carries = self._bank.ports[self._call].inputs
        self._read = [
            leaf.detach().clone()
            for leaf, per_example in zip(leaves, carries, strict=True)
            if per_example is not None and leaf.is_floating_point()
        ]

    def after(self, bank: Any, args: Any, result: Any) -> Any:
        """Return what the bank has returned, as it depends on the factors."""
        plan, level = self._bank.forward_pass.plan, self._bank.forward_pass.level
        assert plan is not None
        first = plan.index(plan.trie.first[level])  # by group, the one column that is in it
        layout = RowLayout(plan.examples, len(first), plan.group_major)
        leaves, spec = pytree.tree_flatten(result)
        read = self._in_new_order(plan, level)
        changed = []
        for leaf, per_example in zip(leaves, self._bank.ports[self._call].outputs, strict=True):
            if per_example is not None and leaf.is_floating_point():
                before, part = next(read, None), leaf.detach()
                same = before is not None and before.shape == part.shape
                part = part - before if same else part.clone()
                leaf = _WithFactors.apply(leaf, part, self._factors[first], layout)
            changed.append(leaf)
        return pytree.tree_unflatten(changed, spec)

    def _in_new_order(self, plan: RoutePlan, level: int) -> Iterator[Tensor]:
        """Yield the rows that the bank has read in the order of those that it returns.

        Columns are the same, but groups are numbered by (weight, parent): of three tasks with
        weights 1, 0, 1 the groups 0, 1, 2 in front of the unit are 1, 0, 2 behind it.
        """
        source = plan.index(plan.trie.groups[self._level][plan.trie.first[level]])
        layout = RowLayout(plan.examples, len(source), plan.group_major)
        while self._read:
            rows = self._read.pop(0)
            yield layout.join_first(layout.split_first(rows).index_select(1, source))


class _WithFactors(torch.autograd.Function):
    """It returns rows unchanged; factors get the derivative of rows + (m - 1) part by m."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, part: Tensor, factors: Tensor, layout: RowLayout) -> Tensor:
        ctx.save_for_backward(part)
        ctx.layout, ctx.dtype = layout, factors.dtype
        return rows.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (part,) = ctx.saved_tensors
        products = ctx.layout.split_first(gradient.to(ctx.dtype) * part.to(ctx.dtype))
        return gradient, None, products.transpose(0, 1).flatten(1).sum(1), None
