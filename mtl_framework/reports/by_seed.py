"""Every run has one number by which runs are compared, and lower is better."""

from collections.abc import Sequence

from ..runs.records import Group, RunRecord, Select
from .stats import DeltaM, delta_m


def errors_by_seed(
    group: Group, records: Sequence[RunRecord], baseline: str | None, select: Select
) -> dict[int, float]:
    """Return the error of every seed, the mean over its runs that are done.

    It is the mean over tasks; where their metric is better when larger, of what they lack of its
    ideal. Where tasks have different metrics, or metrics with units, it is minus Delta m against
    the baseline; the result is empty where that is unknown.

    Args:
        group: the runs of one suite and backbone.
        records: those of one strategy, or control runs of one kind.
        baseline: strategy that Delta m refers to.
        select: networks that count: after the last step, or the best by validation.
    """
    done = [(record.seed, f) for record in records if (f := record.figures(select))]
    if group.mixed:
        gains = gains_of(group, records, baseline, select)
        errors = [None if gain.mean is None else -gain.mean for gain in gains]
    else:
        errors = [f.overall for _, f in done]
    found: dict[int, list[float]] = {}
    for (seed, _), error in zip(done, errors, strict=bool(errors)):
        if error is None:
            return {}
        found.setdefault(seed, []).append(error)
    return {seed: sum(values) / len(values) for seed, values in sorted(found.items())}


def gains_of(
    group: Group, records: Sequence[RunRecord], baseline: str | None, select: Select
) -> list[DeltaM]:
    """Compute Delta m of every run that is done against the baseline's mean over its seeds."""
    means = _baseline_means(group, baseline, select)
    if not means:
        return []
    higher = group.higher
    return [delta_m(f.per_task, means, higher) for r in records if (f := r.figures(select))]


def zero_tasks(group: Group, baseline: str | None, select: Select) -> list[str]:
    """Name the tasks in which the baseline's mean is zero, so that nothing is relative to it."""
    means = _baseline_means(group, baseline, select)
    return [task for task, mean in means.items() if not mean]


def _baseline_means(group: Group, baseline: str | None, select: Select) -> dict[str, float]:
    reference = [f for r in group.done(baseline) if (f := r.figures(select))] if baseline else []
    if not reference:
        return {}
    return {t: sum(f.per_task[t] for f in reference) / len(reference) for t in group.tasks}
