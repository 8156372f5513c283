"""Assignments can be ranked on search data: training examples that the weights never see.

Late in training the loss on the weights' own examples is next to nothing under every assignment
(1e-4 after 1,000 iterations on 500 characters a task), so that ranking by it ranks noise. Branched
search (BMTAS, Brueggemann et al., BMVC 2020) cuts the training set 80 : 20 for this reason. For the
last part of the run the held-out examples are folded back, so that the final weights have seen all.
"""

from collections.abc import Mapping
from typing import Any

from mtl_framework import TrainingRun
from mtl_framework.data import BalancedBatches, Batch, Suite

_SHARE = 0.25  # of every task's examples, where the user names none
_FEWEST = 400  # training examples of a task that can spare some: with 100 it cost several points


def default_share(suite: Suite) -> tuple[float, str | None]:
    """Return the share that is held out where the user names none, and why it is 0 if it is."""
    for task in suite.tasks:
        examples = task.train
        if examples.streams is not None:
            return 0.0, f"task {task.name!r} is read as streams"
        if len(examples) < _FEWEST:
            return 0.0, f"task {task.name!r} has only {len(examples)} training examples"
    return _SHARE, None


class SearchData:
    """Search data come in two streams of batches: for the weights, and held out for the search.

    Args:
        share: share of every task's training examples, stratified by label, that are held out.
        fold_back: share of the run's iterations, at its end, in which weights and search read all
            examples.
    """

    def __init__(self, share: float, fold_back: float) -> None:
        self.share = share
        self.fold_back = fold_back
        self._parts: tuple[BalancedBatches, BalancedBatches] | None = None
        self._saved: list[Mapping[str, Any]] = []

    def weight_batch(self, run: TrainingRun) -> Batch:
        """Return the next batch for a weight step."""
        return run.next_batch(None if self._folded(run) else self._split(run)[0])

    def search_batch(self, run: TrainingRun) -> Batch:
        """Return the next batch for a search step."""
        return run.next_batch(None if self._folded(run) else self._split(run)[1])

    def _folded(self, run: TrainingRun) -> bool:
        return run.iteration >= (1 - self.fold_back) * run.iterations

    def _split(self, run: TrainingRun) -> tuple[BalancedBatches, BalancedBatches]:
        if self._parts is None:
            self._parts = run.split_batches(self.share)
            for part, state in zip(self._parts, self._saved, strict=False):
                part.load_state_dict(state)
        return self._parts

    def state_dict(self) -> dict[str, Any]:
        """Return the positions of both streams; they are empty before the first batch."""
        if self._parts is None:
            return {"parts": list(self._saved)}
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where :meth:`state_dict` was taken, when the next batch is drawn."""
        self._parts = None
        self._saved = list(state["parts"])
