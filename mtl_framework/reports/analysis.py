"""The finished runs of a comparison are analysed: figures, tests and Delta m of every group."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

from ..runs.comparable import other_examples, other_iterations, other_surroundings
from ..runs.records import Group, Select
from ..runs.unlike import Unlike, unlike_settings
from .all_metrics import MetricTable, gains_of_all, metric_spreads, metric_tables
from .by_seed import errors_by_seed, gains_of, zero_tasks
from .controls import Controls, analyse_controls
from .stats import (
    Difference,
    Spread,
    difference,
    holm,
    less_p,
    smallest_p,
    spread,
    superiority,
)


@dataclass(frozen=True)
class Pair:
    """A pair says whether one strategy's mean error is smaller than another's.

    Where a metric is better when larger, what it lacks of its ideal value stands for the error.
    Where tasks have different metrics, minus Delta m stands for it.

    Args:
        better: the strategy whose error the test asks to be smaller.
        other: the strategy that it is compared with.
        difference: mean error of ``better`` minus that of ``other``.
        superiority: probability that a run of ``better`` has the smaller error, ties counted half.
        p: p of the one-sided Mann-Whitney U test.
        p_holm: p after Holm's correction over all ordered pairs of the group.
    """

    better: str
    other: str
    difference: Difference
    superiority: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Row:
    """A row of a group's table holds the figures of one strategy.

    ``runs`` were asked for, and ``failed`` of them failed; the figures are those of the ``done``
    ones, ``None`` where nothing can be said. ``delta_m`` is in percent, over the tasks' main
    metrics, ``delta_m_all`` over all metrics of all tasks; ``metrics`` are those of every task by
    label. ``seconds`` is the wall time of a run and ``memory`` its peak in MiB; ``gmacs`` are the
    multiply-accumulates of a training step, in units of 1e9. ``best`` is true for a strategy that
    is significantly better than each other one.
    """

    strategy: str
    runs: int
    done: int
    failed: int
    error_mean: Spread | None
    error_pooled: Spread | None
    per_task: dict[str, Spread]
    delta_m: Spread | None
    delta_m_per_task: dict[str, Spread | None]
    trained: Spread | None
    deployed: Spread | None
    seconds: Spread | None
    memory: Spread | None
    best: bool
    gmacs: Spread | None = None
    delta_m_all: Spread | None = None
    metrics: dict[str, dict[str, Spread]] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """An analysis holds a group's table, its tests, notes on their limits, and control runs.

    ``unlike`` are settings beside the sharing that its strategies do not have in common.
    """

    group: Group
    baseline: str | None
    select: Select
    significance: float
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    controls: tuple[Controls, ...] = ()
    unlike: tuple[Unlike, ...] = ()

    @property
    def unit(self) -> str:
        """Return the unit of the differences between strategies."""
        return "Δm %" if self.group.mixed else self.group.unit

    @property
    def every_metric(self) -> bool:
        """Return whether there are metrics beside the main ones to compare."""
        return any(row.delta_m_all is not None for row in self.rows)

    @property
    def metric_tables(self) -> list[MetricTable]:
        """Make a table of all metrics for every task that has several."""
        return metric_tables(self.group.tasks, {row.strategy: row.metrics for row in self.rows})

    def row(self, strategy: str) -> Row:
        """Return the row of a strategy."""
        return next(row for row in self.rows if row.strategy == strategy)

    @property
    def caption(self) -> str:
        """Say what the table shows and which test stands behind the bold print."""
        which = "after the last step" if self.select == "last" else "preferred by validation"
        mixed, larger = self.group.mixed, bool(self.group.higher)
        unit = "each task in its own metric" if mixed else self.group.unit
        bold = "Δm larger" if mixed else "larger" if larger else "smaller"
        shown = f"Test error ({unit}, lower is better)"
        if larger:
            shown = f"Test figures ({unit})" if mixed else f"Test {unit} (higher is better)"
        return (
            f"{shown} of the networks {which}: mean ± "
            f"sample standard deviation over seeds. Bold: {bold} than every other strategy's by a "
            f"one-sided Mann–Whitney U test at {self.significance:g} after Holm's correction over "
            "all ordered pairs."
            + (
                f" Δm: mean relative gain over {self.baseline} in percent, higher is better."
                if self.baseline
                else ""
            )
            + (
                " Δm of all metrics: the same mean over every metric of every task."
                if any(row.delta_m_all is not None for row in self.rows)
                else ""
            )
        )


def analyse(
    group: Group,
    baseline: str | None = None,
    significance: float = 0.05,
    select: Select = "last",
) -> Analysis:
    """Analyse the runs of one suite and backbone.

    Args:
        group: the runs, with their controls.
        baseline: strategy that Delta m refers to; ``None``: the first whose tasks share nothing.
        significance: significance level of the tests.
        select: networks that count: after the last step, or the best by validation.
    """
    if baseline not in group.strategies:
        baseline = find_baseline(group)
    pairs = _pairs(group, baseline, select)
    rows = [
        _row(group, strategy, baseline, select, _is_best(group, strategy, pairs, significance))
        for strategy in group.strategies
    ]
    notes = _notes(group, rows, pairs, baseline, significance, select)
    if other := other_examples(group.records):
        notes.append(
            f"The runs do not have the same examples, so their figures tell little: {other}."
        )
    if counts := other_iterations(group.records):
        notes.append(f"The runs have different numbers of iterations: {counts}.")
    if unlike := other_surroundings(group.records):
        notes.append(
            "The runs were not made on the same machine or with the same code, which can move "
            f"figures, and seconds above all (numbers of runs in brackets): {'; '.join(unlike)}."
        )
    beside = unlike_settings(record for name in group.strategies for record in group.of(name))
    if beside:
        notes.append(
            "Strategies differ in more than what their tasks share, which may be the reason for "
            f"a difference: {', '.join(setting.key for setting in beside)}."
        )
    return Analysis(
        group,
        baseline,
        select,
        significance,
        tuple(rows),
        tuple(pairs),
        tuple(notes),
        tuple(analyse_controls(group, baseline, significance, select)),
        tuple(beside),
    )


def find_baseline(group: Group) -> str | None:
    """Find the first strategy in whose runs no two tasks share any unit, if there is one."""
    for strategy in group.strategies:
        results = [record.result for record in group.done(strategy) if record.result]
        if results and all(
            r.assignment is not None
            and r.assignment.weights
            and all(len(set(row)) == len(row) for row in r.assignment.weights)
            for r in results
        ):
            return strategy
    return None


def _pairs(group: Group, baseline: str | None, select: Select) -> list[Pair]:
    errors = {s: errors_by_seed(group, group.done(s), baseline, select) for s in group.strategies}
    ordered = [(a, b) for a, b in permutations(group.strategies, 2) if errors[a] and errors[b]]
    p_values = [less_p(list(errors[a].values()), list(errors[b].values())) for a, b in ordered]
    found = []
    for (a, b), p, p_holm in zip(ordered, p_values, holm(p_values), strict=True):
        effect = difference(errors[a], errors[b])
        assert effect is not None
        chance = superiority(list(errors[a].values()), list(errors[b].values()))
        found.append(Pair(a, b, effect, chance, p, p_holm))
    return found


def _is_best(group: Group, strategy: str, pairs: Sequence[Pair], significance: float) -> bool:
    """Return whether a strategy is better than all others, and none of its runs failed."""
    wins = {pair.other for pair in pairs if pair.better == strategy and pair.p_holm < significance}
    complete = all(record.state != "failed" for record in group.of(strategy))
    return complete and len(group.strategies) > 1 and wins == set(group.strategies) - {strategy}


def _row(group: Group, strategy: str, baseline: str | None, select: Select, best: bool) -> Row:
    records = group.done(strategy)
    results = [record.result for record in records if record.result]
    figures = [f for record in records if (f := record.figures(select))]
    pooled = [f.error_pooled for f in figures if f.error_pooled is not None]
    gains = gains_of(group, records, baseline, select)
    over_all = gains_of_all(group, records, baseline, select)
    means_of_all = [gain.mean for gain in over_all if gain.mean is not None]
    means = [gain.mean for gain in gains if gain.mean is not None]
    per_task = {t: spread([f.per_task[t] for f in figures]) for t in group.tasks}
    return Row(
        strategy=strategy,
        runs=len(group.of(strategy)),
        done=len(records),
        failed=sum(record.state == "failed" for record in group.of(strategy)),
        error_mean=spread([f.error_mean for f in figures if f.error_mean is not None]),
        error_pooled=spread(pooled),
        per_task={t: found for t, found in per_task.items() if found is not None},
        delta_m=spread(means) if len(means) == len(gains) else None,
        delta_m_per_task={
            t: spread([value for gain in gains if (value := gain.per_task[t]) is not None])
            for t in group.tasks
            if gains
        },
        trained=spread([float(r.parameters.trained) for r in results]),
        deployed=spread([float(r.parameters.deployed) for r in results]),
        seconds=spread([r.seconds for r in results]),
        memory=spread([r.peak_memory for r in results if r.peak_memory is not None]),
        best=best,
        gmacs=None
        if None in (macs := [r.macs for r in results])
        else spread([each / 1e9 for each in macs if each is not None]),
        delta_m_all=spread(means_of_all) if len(means_of_all) == len(over_all) else None,
        metrics=metric_spreads(figures),
    )


def _notes(
    group: Group,
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    baseline: str | None,
    significance: float,
    select: Select,
) -> list[str]:
    notes = []
    for row in rows:
        if row.failed:
            rest = (
                f"the figures are those of {row.done} of {row.runs} runs; it is not called best, "
                "because the runs that are left may be the easier ones"
                if row.done
                else "no run is left"
            )
            notes.append(f"{row.strategy}: {run_count(row.failed)} failed, {rest}.")
        waiting = row.runs - row.done - row.failed
        if waiting:
            notes.append(f"{row.strategy}: {run_count(waiting)} not finished yet.")
        if row.done == 1:
            notes.append(f"{row.strategy}: one seed says nothing about the spread over seeds.")
    counts = {row.strategy: row.done for row in rows if row.done}
    if pairs:
        reach = [smallest_p(counts[pair.better], counts[pair.other]) for pair in pairs]
        if min(reach) * len(pairs) >= significance:
            needed = seeds_needed(len(counts), significance)
            notes.append(
                f"With so few seeds no difference can reach {significance:g}: the smallest p that "
                f"the test can give is {min(1, min(reach) * len(pairs)):.2g} after correction. "
                f"{needed} seeds a strategy can show a difference."
            )
        tied = {
            tuple(sorted((pair.better, pair.other)))
            for pair in pairs
            if set(errors_by_seed(group, group.done(pair.better), baseline, select).values())
            == set(errors_by_seed(group, group.done(pair.other), baseline, select).values())
        }
        for first, second in sorted(tied):
            notes.append(f"{first} and {second} have equal errors: no test can tell them apart.")
    if group.mixed:
        notes.append(
            "The tasks have different metrics, whose mean would mean nothing; runs are compared by "
            "Δm."
            if baseline
            else "The tasks have different metrics, whose mean would mean nothing; without a "
            "baseline for Δm nothing is tested."
        )
    if select == "best" and any(r.result and r.result.best is None for r in group.records):
        notes.append("Without validation examples, the networks after the last step count.")
    if baseline is not None and any(row.done and row.delta_m is None for row in rows):
        zero = zero_tasks(group, baseline, select)
        where = f" where {baseline} has an error of zero" + (f": {', '.join(zero)}" if zero else "")
        told = where if baseline in counts else f" before a run of {baseline} has ended"
        notes.append(f"Δm cannot be told{told}.")
    if len(set(counts.values())) > 1:
        notes.append("The strategies have different numbers of runs.")
    return notes


def seeds_needed(strategies: int, significance: float) -> int:
    """Count the fewest seeds with which full separation is significant once corrected."""
    tests, seeds = strategies * (strategies - 1), 1
    while tests * smallest_p(seeds, seeds) >= significance:
        seeds += 1
    return seeds


def run_count(number: int) -> str:
    """Write a number of runs for people: 1 run, 2 runs."""
    return f"{number} run" if number == 1 else f"{number} runs"
