"""A figure that stands for several runs draws the one with the middle error."""

from collections.abc import Collection, Iterator, Sequence

from ..strategies.context import FinishedRun


def middle_run(records: Sequence[FinishedRun]) -> int:
    """Return the position of the run with the middle error; the lower of two middle ones."""
    errors = [r.result.test.overall if r.result else float("inf") for r in records]
    return sorted(range(len(errors)), key=lambda n: errors[n])[(len(errors) - 1) // 2]


def middle_runs(
    runs: Sequence[FinishedRun], strategies: Collection[str]
) -> Iterator[tuple[str, FinishedRun, int]]:
    """Yield the run with the middle error of every setting of some strategies.

    Args:
        runs: the runs of a report, as the hook ``mtl_figures`` is given them.
        strategies: names of the strategies that are looked for.

    Yields:
        the setting's label, the run, and how many finished runs it stands for.
    """
    by_label: dict[str, list[FinishedRun]] = {}
    for record in runs:
        if record.result is not None and record.result.strategy in strategies:
            by_label.setdefault(record.strategy, []).append(record)
    for label, records in by_label.items():
        ranked = sorted(records, key=lambda record: record.seed)
        yield label, ranked[middle_run(ranked)], len(ranked)
