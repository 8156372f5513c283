"""The store writes a run's checkpoints and result into its folder."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from ..backbones.recurrent import carried_states, restore_states
from ..networks.map_samples import MapSamples
from ..networks.model import MultiTaskModel
from ..networks.result import Result
from ..strategies.strategy import Strategy
from ..support.distributed import is_first
from ..support.errors import MtlError, message_of
from ..support.files import size_of, write_text
from .checkpoint import Saved, save_state
from .config import RunConfig
from .folder import RunFolder, details_file, maps_stem

# Larger tensors are weights or what belongs to them: nothing that a report draws.
_LARGEST_FIGURE = 2**16


class RunStore:
    """A store writes checkpoints and result of one run.

    A run keeps two checkpoints: ``last``, from which it goes on, and ``best``, the networks that
    validation prefers. What both hold is written once. ``keep`` says which stay when it has ended.

    Args:
        folder: the run's folder.
        config: the complete configuration.
    """

    def __init__(self, folder: RunFolder, config: RunConfig) -> None:
        self.folder = folder
        self.config = config
        self._plain_config = config.model_dump(mode="json")
        self._best: Saved | None = None

    def save_details(
        self,
        kind: Literal["last", "best"],
        iteration: int,
        details: Mapping[str, Any],
        maps: Mapping[str, MapSamples],
    ) -> None:
        """Write what a report draws of the test examples: confusion matrices, reliability, maps.

        Args:
            kind: the networks that were evaluated: those after the last step, or those that
                validation prefers.
            iteration: number of the step after which the networks were evaluated.
            details: details of every task, by its name, as the evaluation returned them.
            maps: images with maps of every task that has maps, by its name.

        Raises:
            MtlError: if that cannot be done.
        """
        text = json.dumps({"iteration": iteration, "tasks": details}, allow_nan=False)
        write_text(self.folder.path / details_file(kind), text + "\n")
        if maps:
            plain = {task: samples.to_plain() for task, samples in maps.items()}
            stem = self.folder.path / maps_stem(kind)
            save_state(stem, {"iteration": iteration, "tasks": plain})

    def save_best(
        self, iteration: int, network: MultiTaskModel, statistics: Mapping[str, Tensor]
    ) -> None:
        """Write the networks that validation prefers, where they are to be kept.

        A :meth:`save_last` of the same moment has to follow.

        Args:
            iteration: after which they are as they are.
            network: the networks.
            statistics: running averages that they were measured with, where these are others.

        Raises:
            MtlError: if that cannot be done.
        """
        if self.config.keep in ("best", "both"):
            state = {
                "config": self._plain_config,
                "network": {**network.state_dict(), **statistics},
            }
            self._best = self.folder.checkpoints.save("best", iteration, state)

    def save_last(self, iteration: int, strategy: Strategy, rest: Mapping[str, Any]) -> None:
        """Write all that the run needs to go on.

        Raises:
            MtlError: if that cannot be done; the checkpoint before stays then.
        """
        state = {
            "config": self._plain_config,
            "strategy": strategy.state_dict(),
            "recurrent": carried_states(strategy.network),
            **rest,
        }
        best, self._best = self._best, None
        self.folder.checkpoints.save("last", iteration, state, best)

    def restore(self, state: Mapping[str, Any], strategy: Strategy) -> None:
        """Put the strategy's part of a checkpoint back.

        Raises:
            Exception: whatever a strategy raises on a state that does not fit.
        """
        strategy.load_state_dict(state["strategy"])
        restore_states(strategy.network, state["recurrent"])

    def misfit(self, iteration: object, error: Exception) -> MtlError:
        """Make the error of a checkpoint that does not fit the run."""
        reason = message_of(error)[:300]
        where = self.folder.checkpoints.stem("last", iteration if isinstance(iteration, int) else 0)
        return MtlError(f"checkpoint {where} does not fit this run: {reason}")

    def tidy(self, last: int, *best: int | None) -> None:
        """Remove checkpoints that nothing refers to any more."""
        kept = {("last", last)} | {("best", number) for number in best if number is not None}
        self.folder.checkpoints.keep_only(kept)

    def finish(self, result: Result, strategy: Strategy) -> None:
        """Write the result, then remove the checkpoints that are not to be kept.

        Where the state after the last step goes, what reports draw of it stays: the strategy's
        state without optimisers and large tensors, as the checkpoint ``end``.

        Raises:
            MtlError: if that cannot be done.
        """
        keep, checkpoints = self.config.keep, self.folder.checkpoints
        best = result.best.iteration if result.best is not None else None
        if keep == "best" and best is None:
            keep = "last"  # nothing was preferred: there is only this one
        if keep in ("best", "none"):
            state = {"config": self._plain_config, "strategy": figure_state(strategy.state_dict())}
            checkpoints.save("end", result.iterations, state)
        result.save(self.folder.result)
        if keep in ("best", "none"):
            kept = {("end", result.iterations)}
            checkpoints.keep_only(kept | {("best", best)} if keep == "best" and best else kept)
        elif keep == "last":
            self.tidy(result.iterations)

    def summary(self) -> str:
        """Return one line on what the folder holds and how large it is."""
        kinds = [
            kind for kind in ("last", "best") if self.folder.checkpoints.latest(kind) is not None
        ]
        kept = f"checkpoints {' and '.join(kinds)}" if kinds else "no weights"
        return f"{self.folder.path}: {_megabytes(size_of(self.folder.path))}, with {kept}"

    def describe_kept(self) -> str:
        """Say what a run that fails has saved."""
        iteration = self.folder.checkpoints.latest("last")
        if iteration is None:
            return "nothing was saved yet"
        return f"the state of iteration {iteration} is kept in {self.folder.path}"


class ReadingStore(RunStore):
    """This store writes nothing: of several processes the first one does it for all."""

    def save_details(
        self,
        kind: Literal["last", "best"],
        iteration: int,
        details: Mapping[str, Any],
        maps: Mapping[str, MapSamples],
    ) -> None:
        """Write nothing."""

    def save_best(
        self, iteration: int, network: MultiTaskModel, statistics: Mapping[str, Tensor]
    ) -> None:
        """Write nothing."""

    def save_last(self, iteration: int, strategy: Strategy, rest: Mapping[str, Any]) -> None:
        """Write nothing."""

    def tidy(self, last: int, *best: int | None) -> None:
        """Remove nothing."""

    def finish(self, result: Result, strategy: Strategy) -> None:
        """Write nothing."""


def store_of(folder: RunFolder, config: RunConfig) -> RunStore:
    """Return the store of this process: of several only the first one writes."""
    return (RunStore if is_first() else ReadingStore)(folder, config)


def figure_state(state: Any) -> Any:
    """Leave optimisers and large tensors out of a strategy's state."""
    if isinstance(state, Mapping):
        return {
            key: figure_state(value)
            for key, value in state.items()
            if not (isinstance(value, Mapping) and set(value) >= {"state", "param_groups"})
            and not (isinstance(value, Tensor) and value.numel() > _LARGEST_FIGURE)
        }
    if isinstance(state, list | tuple):
        items = [figure_state(item) for item in state]
        return tuple(items) if isinstance(state, tuple) else items
    if isinstance(state, nn.Parameter):
        return state.detach()
    return state


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
