"""Validation decides when a run ends early, and which networks it reports."""

from ..data.tasks import Suite
from ..strategies.training import TrainingConfig
from ..support.errors import MtlError
from .config import RunConfig
from .progress_state import ProgressState


def check_validation(training: TrainingConfig, suite: Suite) -> None:
    """Raise an error on choices by validation where a task has no validation examples.

    Raises:
        MtlError: naming the key of the config and the task.
    """
    wanted = {
        f"training.stop_after={training.stop_after}": training.stop_after is not None,
        "training.report=best": training.report == "best",
        "training.schedule=plateau": training.schedule.name == "plateau",
    }
    without = [task.name for task in suite.tasks if task.validation is None]
    for key, asked in wanted.items():
        if asked and without:
            raise MtlError(
                f"{key} needs validation examples of every task; {without[0]!r} of suite "
                f"{suite.name!r} has none"
            )


def early_end(config: RunConfig, state: ProgressState) -> str | None:
    """Return why a run should end early; ``None``: it should not.

    It should once ``training.stop_after`` evaluations in a row have been no better than the best.
    """
    patience, last, best = config.training.stop_after, state.measured.last, state.measured.best
    if patience is None or last is None or best is None or state.iteration >= config.iterations:
        return None
    if (last.iteration - best.iteration) // config.eval_every < patience:
        return None
    return f"no better validation since iteration {best.iteration} (training.stop_after={patience})"
