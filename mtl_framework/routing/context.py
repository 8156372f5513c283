"""What banks and normalisation layers know about the pass they are in."""

from collections.abc import Iterator
from contextlib import contextmanager

from .plan import Route, RouteError, RoutePlan, RowGroups


class RoutingContext:
    """The state of the pass that is being run, shared by the parts of one model.

    ``rows`` describes the rows that the layer being called sees; ``level`` how far the paths have
    branched.
    """

    def __init__(self) -> None:
        self.plan: RoutePlan | None = None
        self.level = 0
        self.rows: RowGroups | None = None
        self.gather_statistics = False
        self.calls: dict[int, int] = {}  # id of a bank -> its calls so far in this pass

    @contextmanager
    def running(self, plan: RoutePlan, gather_statistics: bool) -> Iterator[None]:
        """A forward pass under ``plan``."""
        if self.plan is not None:
            raise RouteError("a pass is running already; networks are not re-entrant")
        self.plan, self.level, self.rows = plan, 0, plan.rows(0)
        self.gather_statistics = gather_statistics
        self.calls = {}
        try:
            yield
        finally:
            self.plan = self.rows = None
            self.gather_statistics = False

    @contextmanager
    def seeing(self, rows: RowGroups, gather_statistics: bool) -> Iterator[None]:
        """A call on some of the rows, also when it is repeated during the backward pass."""
        before = self.rows, self.gather_statistics
        self.rows, self.gather_statistics = rows, gather_statistics
        try:
            yield
        finally:
            self.rows, self.gather_statistics = before

    def route(self, unit: int) -> Route:
        """The route of the rows, as they are now, through ``unit``."""
        if self.plan is None:
            raise RouteError("a weight bank was called outside a pass of its networks")
        if self.plan.branching and self.level < unit:
            raise RouteError(
                f"unit {unit} was called before unit {self.level}: the execution order differs "
                "from the one seen when the backbone was built"
            )
        return self.plan.route(unit, self.level)

    def passed(self, route: Route) -> None:
        """The rows have left a unit."""
        assert self.plan is not None
        self.level = route.level_out
        self.rows = self.plan.rows(self.level)
