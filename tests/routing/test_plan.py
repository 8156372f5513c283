"""Plans: tries of distinct paths, orders of rows, positions of visits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_framework.routing.plan import PlanOptions, RoutePlan
from mtl_framework.routing.statistics_schedule import Normalization, StepOrder


def make_plan(assignments: np.ndarray, **options: object) -> RoutePlan:
    samples, _, tasks = assignments.shape
    order = StepOrder(assignments, options.pop("mode", "shared"))  # type: ignore[arg-type]
    settings = PlanOptions(torch.device("cpu"), **options)  # type: ignore[arg-type]
    return RoutePlan(order, range(samples), range(tasks), 2, settings)


@st.composite
def assignment_arrays(draw: st.DrawFn) -> np.ndarray:
    shape = [draw(st.integers(1, n)) for n in (5, 4, 4)]
    seed = draw(st.integers(0, 2**32 - 1))
    weights = draw(st.integers(1, 4))
    return np.random.default_rng(seed).integers(0, weights, shape)


@settings(deadline=None)
@given(assignment_arrays(), st.booleans(), st.booleans(), st.booleans())
def test_every_column_meets_its_own_weights(
    assignments: np.ndarray, branching: bool, common_input: bool, merge_samples: bool
) -> None:
    """Follow what each row has passed through: it must be exactly its columns' path."""
    plan = make_plan(
        assignments, branching=branching, common_input=common_input, merge_samples=merge_samples
    )
    samples, units, _ = assignments.shape
    history: list[tuple[int, ...]] = [() for _ in range(plan.num_groups(0))]
    level = 0
    for unit in range(units):
        route = plan.route(unit, level)
        assert route.groups_in == len(history)
        after: list[tuple[int, ...] | None] = [None] * route.groups_out
        for call in route.calls:
            for source, target in zip(call.source.tolist(), call.target.tolist(), strict=True):
                assert after[target] is None  # written once
                after[target] = (*history[source], call.weight)
        assert None not in after
        history = [path for path in after if path is not None]
        level = route.level_out
    for task, (groups, which) in enumerate(plan.outputs):
        for sample in range(samples):
            path = history[int(groups[which[sample]])]
            assert path == tuple(assignments[sample, :, task].tolist())


@settings(deadline=None)
@given(assignment_arrays())
def test_rows_are_the_distinct_paths_and_no_more(assignments: np.ndarray) -> None:
    plan = make_plan(assignments)
    samples, units, tasks = assignments.shape
    for level in range(units + 1):
        distinct = {
            (task, *assignments[sample, :level, task])
            for sample in range(samples)
            for task in range(tasks)
        }
        assert plan.num_groups(level) == len(distinct)
    common = make_plan(assignments, common_input=True)
    paths = {tuple(assignments[s, :, t]) for s in range(samples) for t in range(tasks)}
    assert common.num_groups(units) == len(paths)
    assert common.num_groups(0) == 1


def test_groups_are_ordered_by_weight_then_parent() -> None:
    # two tasks; under sample 0 weights (1, 1), under sample 1 (0, 0)
    plan = make_plan(np.array([[[1, 1]], [[0, 0]]]))
    route = plan.route(0, 0)
    calls = {call.weight: call for call in route.calls}
    assert calls[0].source.tolist() == calls[1].source.tolist() == [0, 1]
    assert calls[0].target.tolist() == [0, 1]  # not [0, 2], which ordering by parent would give
    assert calls[1].target.tolist() == [2, 3]
    assert route.writes_in_order
    assert not route.reads_in_order
    again = plan.route(0, 1)  # a further place of the unit
    assert again.writes_in_order
    assert again.reads_in_order


def test_a_single_weight_copies_nothing() -> None:
    plan = make_plan(np.ones((3, 2, 4), dtype=np.int64))
    assert plan.route(0, 0).identity
    assert plan.route(1, 1).identity


@settings(deadline=None)
@given(assignment_arrays(), st.sampled_from(["shared", "task"]), st.floats(0.01, 0.5))
def test_visits_unroll_the_sequential_average(
    assignments: np.ndarray, mode: Normalization, momentum: float
) -> None:
    """The closed form of the running average equals updating it visit by visit."""
    plan = make_plan(assignments, mode=mode)
    samples, units, tasks = assignments.shape
    generator = np.random.default_rng(0)
    level = 0
    for unit in range(units):
        route = plan.route(unit, level)
        level = route.level_out
        # by group of the new level; positive, as terms that cancel have no relative precision
        statistic = generator.uniform(0.1, 3, size=route.groups_out)
        numbers = plan.columns.numbers(plan.order).tolist()
        group_of = dict(zip(numbers, plan.trie.groups[level].tolist(), strict=True))
        for call in route.calls:
            slots = tasks if mode == "task" else 1
            average = np.ones(slots)
            visits = np.zeros(slots)
            for sample in range(samples):
                for task in range(tasks):
                    if assignments[sample, unit, task] == call.weight:
                        slot = task if mode == "task" else 0
                        value = statistic[group_of[sample * tasks + task]]
                        average[slot] += momentum * (value - average[slot])
                        visits[slot] += 1
            weights, count = call.rows.coefficients(momentum, torch.float64)
            decay = (1 - momentum) ** count
            closed = decay + weights.numpy() @ statistic[call.target.numpy()]
            np.testing.assert_allclose(closed, average, rtol=1e-12)
            np.testing.assert_array_equal(count, visits)


def test_parts_of_a_step_add_up_to_the_whole() -> None:
    assignments = np.random.default_rng(0).integers(0, 3, (4, 2, 5))
    order = StepOrder(assignments, "shared")

    def total(parts: list[tuple[list[int], list[int]]]) -> dict[int, float]:
        found: dict[int, float] = {}
        for samples, tasks in parts:
            plan = RoutePlan(order, samples, tasks, 2, PlanOptions(torch.device("cpu")))
            for call in plan.route(0, 0).calls:
                weights, _ = call.rows.coefficients(0.1, torch.float64)
                found[call.weight] = found.get(call.weight, 0.0) + float(weights.sum())
        return found

    whole = total([([0, 1, 2, 3], [0, 1, 2, 3, 4])])
    cut = total([([0, 1, 2, 3], [0, 3]), ([0, 1], [1, 2, 4]), ([2, 3], [1, 2, 4])])
    assert whole == pytest.approx(cut)


def test_planning_an_iteration_is_cheap_in_calls() -> None:
    """Twenty tasks, eight samples, nine units: one unique() a level, however many columns."""
    assignments = np.random.default_rng(0).integers(0, 20, (8, 9, 20))
    plan = make_plan(assignments)
    assert plan.num_groups(9) == 160
    assert sum(len(plan.route(u, u).calls) for u in range(9)) <= 9 * 20
