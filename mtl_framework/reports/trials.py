"""Reports show the trials of a search for options."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TrialState = Literal["done", "pruned", "failed", "running"]


@dataclass(frozen=True)
class TrialRecord:
    """A trial is one setting of the options that are searched.

    Args:
        number: number of the trial, from 0.
        state: how it ended; ``pruned``: early, by its validation curve.
        options: values of the options that are searched, by their keys.
        value: figure of validation, lower is better; of a pruned trial the last one; ``None``: it
            has none.
        curve: iterations, and the figures of validation then.
        why: reason of a failure, in a line.
        folders: folders of its runs, within the folder of the search.
    """

    number: int
    state: TrialState
    options: Mapping[str, Any]
    value: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    why: str = ""
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchRecord:
    """This is a search, as a report shows it.

    Args:
        title: title of the page.
        unit: what the figures of validation are called, e.g. ``error %``.
        trials: all trials, by number.
        scales: which options are drawn on a logarithmic scale.
        importances: share of every option in how much the figures differ, by key; empty: too few
            trials have ended.
    """

    title: str
    unit: str
    trials: Sequence[TrialRecord]
    scales: Mapping[str, bool] = field(default_factory=dict)
    importances: Mapping[str, float] = field(default_factory=dict)

    @property
    def done(self) -> list[TrialRecord]:
        """Return the trials that were run to their end, the best first."""
        ended = [trial for trial in self.trials if trial.state == "done"]
        return sorted(ended, key=lambda trial: (trial.value or 0.0, trial.number))

    @property
    def best(self) -> TrialRecord | None:
        """Return the trial with the lowest figure of validation; ``None`` where none has ended."""
        return self.done[0] if self.done else None


def plain(value: Any) -> str:
    """Return an option's value as people write it: numbers with four digits that count."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
