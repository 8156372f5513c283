"""The search goes back to the generation that validation prefers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mtl_framework import Evaluation, MtlError, UnknownNameError


class BestGeneration:
    """This scores generations by validation losses, and keeps the state of the best one.

    Args:
        by: what is compared: ``relative`` or ``mean`` losses, or those of the task of this name.
        tasks: names of all tasks.

    Raises:
        UnknownNameError: if ``by`` is none of these.
    """

    def __init__(self, by: str, tasks: Sequence[str]) -> None:
        if by not in ("relative", "mean", *tasks):
            raise UnknownNameError("value of best_by", by, ("relative", "mean", *tasks))
        self._by = by
        self.first: dict[str, float] = {}
        self.score = float("inf")
        self.state: dict[str, Any] = {}

    def consider(self, evaluation: Evaluation) -> bool:
        """Say whether a generation is better than all before it; its state should then be kept.

        Raises:
            MtlError: if there is no validation.
        """
        split = evaluation.splits.get("validation")
        if split is None:
            raise MtlError("save_best needs validation examples of every task; there are none")
        losses = split.loss_per_task
        self.first = self.first or dict(losses)
        score = self._score(losses)
        if score >= self.score:
            return False
        self.score = score
        return True

    def keep(self, state: Mapping[str, Any]) -> None:
        """Keep a copy of a state."""
        self.state = _copied(state)

    def _score(self, losses: Mapping[str, float]) -> float:
        if self._by in losses:
            return losses[self._by]
        if self._by == "mean":
            return sum(losses.values()) / len(losses)
        shares = [loss / max(self.first[task], 1e-12) for task, loss in losses.items()]
        return sum(shares) / len(shares)

    def state_dict(self) -> dict[str, Any]:
        """Return the score, first losses and the state that is kept."""
        known = self.score < float("inf")
        return {"score": self.score if known else None, "first": self.first, "state": self.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        score = state["score"]
        self.score = float("inf") if score is None else float(score)
        self.first, self.state = dict(state["first"]), dict(state["state"])


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value
