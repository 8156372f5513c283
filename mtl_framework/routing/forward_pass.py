"""The parts of a rewritten model ask the forward pass that is being run for their rows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from .plan import Call, Route, RouteError, RoutePlan, RowGroups


@dataclass(frozen=True)
class Together:
    """All weights of a route run in one call, in which one group of rows stands for all.

    Args:
        calls: the calls that the weights would have one by one.
        modules: for a module of the weight that is called, by its id, the module in its place of
            every call's weight.
    """

    calls: tuple[Call, ...]
    modules: Mapping[int, tuple[nn.Module, ...]]


class ForwardPass:
    """A forward pass knows where the rows are while a model's own ``forward`` runs.

    The model knows nothing of paths, and calls its banks, norms and heads with tensors alone. One
    object of this class is what these parts of one model have in common: they ask it which rows
    they got, and tell it that rows have moved on.

    ::

        idle ── running(plan) ──> at level 0, rows(0)
                                     │  bank of unit u: route(u) ... passed(route)
                                     v
                                  at level u + 1, rows(u + 1) ── ... ──> at level U
                                     │          ^
                  seeing(call.rows)  v          │  the weight's call returns
                                  inside one call of a bank: its rows alone
        idle <── the model has returned, or raised ──┘

    A norm outside the banks sees the rows of the level, one inside a bank those of the call. A
    call that is repeated in the backward pass (gradient checkpointing) is put inside its call again
    by the bank, without gathering statistics a second time; the pass is idle then.

    Worked example: three tasks with inputs of their own, two samples, two units with two weights,
    and the assignments ``[[0, 0, 1], [0, 1, 1]]`` and ``[[0, 0, 1], [1, 1, 1]]`` (unit by unit).
    The columns are s0t0, s0t1, s0t2, s1t0, s1t1, s1t2. Each line is a group of B rows, in the
    order in which they lie in memory (group-major); both samples of a column are in one group for
    as long as their weights agree.

    =====  ==============  =====================  ===========================
    group  level 0         level 1                level 2
    =====  ==============  =====================  ===========================
    0      input of t0     t0 by weight 0         s0t0 by weight 0
    1      input of t1     t1 by weight 0         s1t0 by weight 1, from 0
    2      input of t2     t2 by weight 1         t1 by weight 1, from 1
    3                                             t2 by weight 1, from 2
    =====  ==============  =====================  ===========================

    Unit 0 is two calls: weight 0 reads groups 0 and 1, weight 1 reads group 2. Unit 1 is two, too:
    weight 0 reads group 0, weight 1 reads groups 0, 1 and 2. Six columns cost three and four groups
    of rows instead of six and six. Heads read groups 0 and 1 for t0, 2 for t1 and 3 for t2.

    Attributes:
        plan: the plan of the pass; ``None`` while idle.
        level: number of units that the rows have passed: how far the paths have branched.
        rows: the rows that the layer sees which is being called.
        gather_statistics: whether that layer's batch statistics move its running averages.
        together: what runs in one call, where the layer stands for those of several weights.
        calls: for each bank, by its id, the number of its calls so far in the pass.
        kept: by unit, the rows behind it that a later mixer reads.
        stacked: by pool of layers, their parameters as one call of all of them reads them.
    """

    def __init__(self) -> None:
        self.plan: RoutePlan | None = None
        self.level = 0
        self.rows: RowGroups | None = None
        self.gather_statistics = False
        self.together: Together | None = None
        self.calls: dict[int, int] = {}
        self.kept: dict[int, Tensor] = {}
        self.stacked: dict[tuple[int, ...], dict[str, Tensor]] = {}

    @contextmanager
    def running(self, plan: RoutePlan, gather_statistics: bool) -> Iterator[None]:
        """Run a model under ``plan`` inside the block.

        Raises:
            RouteError: if a pass is running already.
        """
        if self.plan is not None:
            raise RouteError("a pass is running already; networks are not re-entrant")
        self.plan, self.level, self.rows = plan, 0, plan.rows(0)
        self.gather_statistics = gather_statistics
        self.calls = {}
        try:
            yield
        finally:
            self.plan = self.rows = None
            self.kept, self.stacked = {}, {}
            self.gather_statistics = False

    @contextmanager
    def seeing(self, rows: RowGroups, gather_statistics: bool) -> Iterator[None]:
        """Call a weight on some of the rows, also when it is repeated in the backward pass."""
        before = self.rows, self.gather_statistics
        self.rows, self.gather_statistics = rows, gather_statistics
        try:
            yield
        finally:
            self.rows, self.gather_statistics = before

    @contextmanager
    def seeing_together(self, together: Together) -> Iterator[None]:
        """Call one weight in the place of all those of a route."""
        self.together = together
        try:
            yield
        finally:
            self.together = None

    def route(self, unit: int) -> Route:
        """Return the route of the rows, as they are now, through ``unit``.

        Raises:
            RouteError: outside a pass, or if units come in another order than the probe saw.
        """
        if self.plan is None:
            raise RouteError("a weight bank was called outside a pass of its networks")
        if self.plan.options.branching and self.level < unit:
            raise RouteError(
                f"unit {unit} was called before unit {self.level}: the execution order differs "
                "from the one seen when the backbone was built"
            )
        return self.plan.route(unit, self.level)

    def passed(self, route: Route) -> None:
        """Note that the rows have left a unit."""
        assert self.plan is not None
        self.level = route.level_out
        self.rows = self.plan.rows(self.level)
