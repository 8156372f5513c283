"""All metrics of all tasks are compared: their spread over runs, and Delta m over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..networks.evaluation import SplitMetrics
from ..runs.records import Group, RunRecord, Select
from .stats import DeltaM, Spread, delta_m, spread


def gains_of_all(
    group: Group, records: Sequence[RunRecord], baseline: str | None, select: Select
) -> list[DeltaM]:
    """Compute Delta m of every run over all metrics, each counted once.

    The error of a classification is left out where its accuracy is reported, too: both say the
    same. Metrics that are not defined for some run of the group are left out, too, for all
    strategies alike.
    """
    reference = [f for r in group.done(baseline) if (f := r.figures(select))] if baseline else []
    flat = [_flat(f) for f in reference]
    if not flat or not all(flat):
        return []
    own = [_flat(f) for r in records if (f := r.figures(select))]
    every = [_flat(f) for s in group.strategies for r in group.done(s) if (f := r.figures(select))]
    keys = [key for key in flat[0] if all(key in metrics for metrics in (*every, *own))]
    means = {key: sum(metrics[key] for metrics in flat) / len(flat) for key in keys}
    keys = [key for key in keys if means[key]]
    labels = group.higher_metrics
    higher = {key for key in keys if key.partition("\0")[2] in labels}
    if not keys:
        return []
    return [delta_m({key: metrics[key] for key in keys}, means, higher) for metrics in own]


def _flat(figures: SplitMetrics) -> dict[str, float]:
    """Put every metric under one key of task and label."""
    return {
        f"{task}\0{label}": value
        for task, metrics in figures.metrics.items()
        for label, value in metrics.items()
        if value is not None and not (label.endswith("error %") and _twin(label) in metrics)
    }


def _twin(label: str) -> str:
    return label.replace("error", "accuracy")


def metric_spreads(figures: Sequence[SplitMetrics]) -> dict[str, dict[str, Spread]]:
    """Compute the spread over runs of every metric of every task, where it is defined."""
    found: dict[str, dict[str, list[float]]] = {}
    for split in figures:
        for task, metrics in split.metrics.items():
            for label, value in metrics.items():
                if value is not None:
                    found.setdefault(task, {}).setdefault(label, []).append(value)
    return {
        task: {label: known for label, v in metrics.items() if (known := spread(v)) is not None}
        for task, metrics in found.items()
    }


@dataclass(frozen=True)
class MetricTable:
    """A table has all metrics of one task: labels, and a row of figures for every strategy."""

    task: str
    labels: tuple[str, ...]
    rows: list[tuple[str, list[Spread | None]]]


def metric_tables(
    tasks: Sequence[str], rows: Mapping[str, Mapping[str, Mapping[str, Spread]]]
) -> list[MetricTable]:
    """Make a table of all metrics for every task that has several.

    Args:
        tasks: names of the tasks, in the order of the tables.
        rows: spreads by strategy, task and label.
    """
    tables = []
    for task in tasks:
        own = {strategy: metrics.get(task, {}) for strategy, metrics in rows.items()}
        labels = tuple(dict.fromkeys(label for spreads in own.values() for label in spreads))
        if len(labels) > 1:
            cells = [(name, [spreads.get(x) for x in labels]) for name, spreads in own.items()]
            tables.append(MetricTable(task, labels, cells))
    return tables
