"""The best evaluation of a run is the one that validation prefers."""

import math
from dataclasses import dataclass

from .assignment import Assignment
from .evaluation import Evaluation, SplitMetrics


@dataclass(frozen=True)
class Best:
    """This is the evaluation that validation prefers, the first one on a tie.

    Args:
        iteration: number of the step after which the networks were measured.
        validation: figures of the validation examples.
        test: figures of the test examples.
        assignment: the sharing at that time; ``None`` for strategies without units shared as a
            whole, and in runs from before it was kept.
    """

    iteration: int
    validation: SplitMetrics
    test: SplitMetrics
    assignment: Assignment | None = None

    @classmethod
    def of(cls, evaluation: Evaluation, assignment: Assignment | None = None) -> "Best | None":
        """Make a candidate of an evaluation; ``None`` where there is no validation split."""
        splits = evaluation.splits
        if "validation" not in splits:
            return None
        return cls(evaluation.iteration, splits["validation"], splits["test"], assignment)

    def is_better_than(self, other: "Best", averaged: bool = True) -> bool:
        """Say whether the mean of the tasks' validation metrics is better.

        Where metrics differ, or have units that may differ (root mean squared errors of metres and
        of euros), the mean of each task's metric relative to its other one has to be below one. As
        that makes their product smaller, such steps never lead back. Of metrics that are better
        when larger, what they lack of their ideal value counts in these ratios.

        Args:
            other: an earlier evaluation of the same tasks.
            averaged: whether the metrics can be averaged (:func:`can_be_averaged`).
        """
        mine, theirs = self.validation, other.validation
        if averaged and mine.error_mean is not None and theirs.error_mean is not None:
            better = mine.error_mean - theirs.error_mean
            return better > 0 if mine.ideals else better < 0
        gaps = theirs.gaps
        ratios = [_ratio(value, gaps[task]) for task, value in mine.gaps.items()]
        return sum(ratios) < len(ratios)


def _ratio(new: float, old: float) -> float:
    if old == 0:
        return 1.0 if new == 0 else math.inf
    return new / old
