"""The study of a search: its trials in a data base, and who proposes and ends them (Optuna)."""

import itertools
import math
import random
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runs.folder import first_difference
from ...support.errors import MtlError
from ..grid import significant
from .config import TuneConfig, Tuning
from .space import Dimension, Range

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

DATABASE = "study.db"
_RANDOM_TRIALS = 10  # before an estimate is made
# what a trial or study is remembered with
FOLDER, WHY, CONFIG = "folder", "why", "config"


def import_optuna() -> Any:
    """Import Optuna, and have it print nothing by itself.

    Raises:
        MtlError: if it is not installed.
    """
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise MtlError(
            "mtl tune needs Optuna: install it with `pip install 'mtl-framework[tune]'`"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_study(directory: Path, name: str, storage: str | None, tuning: Tuning) -> "Study":
    """Open the study of a tuning, or begin it.

    Args:
        directory: folder of the tuning, which has a SQLite data base of its own.
        name: name of the study within the data base.
        storage: URL of another data base, e.g. ``postgresql://...``; ``None``: that of the folder.
        tuning: what is searched.

    Raises:
        MtlError: if the data base cannot be opened, or holds a search of something else.
    """
    optuna = import_optuna()
    url = storage or f"sqlite:///{(directory / DATABASE).resolve()}"
    try:
        study = optuna.create_study(
            storage=url,
            study_name=name,
            direction="minimize",
            load_if_exists=True,
            pruner=_pruner(optuna, tuning),
        )
        saved = study.user_attrs.get(CONFIG)
        wanted = _identity(tuning)
        if saved is None:
            study.set_user_attr(CONFIG, wanted)
    except Exception as error:  # of Optuna, SQLAlchemy, or the driver of any data base
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        place = storage or directory / DATABASE
        raise MtlError(f"cannot open the data base {place}: {reason}") from error
    difference = None if saved is None else first_difference(saved, wanted)
    if difference is not None:
        key, before, now = difference
        raise MtlError(
            f"the search in {directory} had {key} {before}, not {now}: give another --output, or "
            "change it back"
        )
    found: Study = study
    return found


def _identity(tuning: Tuning) -> dict[str, Any]:
    """Return what must not change when a search goes on: all but the number of trials."""
    section = tuning.config.model_dump(mode="json", exclude={"trials"})
    return {"tune": section, **significant(tuning.base)}


def _pruner(optuna: Any, tuning: Tuning) -> Any:
    config, run = tuning.config, tuning.base
    warmup = run.iterations // 5 if config.warmup is None else config.warmup
    if config.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=warmup)
    if config.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=max(1, warmup, run.eval_every), reduction_factor=3
        )
    return optuna.pruners.NopPruner()


def ask(study: "Study", tuning: Tuning, directory: Path) -> "Trial | None":
    """Ask for a new trial; ``None``: there are as many as there should be.

    It waits in the data base with its folder before it runs, so that it is found again whenever
    this process is killed.

    Args:
        study: the study.
        tuning: what is searched.
        directory: folder of the search.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    if not waiting:
        if len(trials) >= trial_count(tuning):
            return None
        point = _grid(tuning)[len(trials)] if tuning.config.sampler == "grid" else {}
        study.enqueue_trial(point, user_attrs={FOLDER: str(directory.resolve())})
    trial: Trial = study.ask()
    trial.set_user_attr(FOLDER, str(directory.resolve()))  # where another process had added it
    return trial


def draw(study: "Study", trial: "Trial", tuning: Tuning, workers: int) -> dict[str, Any]:
    """Return a trial's values of all options; those that it has not yet are drawn.

    Who proposes them is seeded by the trial's number, so that resuming changes nothing.

    Args:
        study: the study.
        trial: the trial, which is running by the data base.
        tuning: what is searched.
        workers: number of trials at a time.
    """
    study.sampler = _sampler(import_optuna(), tuning, trial.number, workers)
    return {dimension.name: dimension.suggest(trial) for dimension in tuning.space}


def _sampler(optuna: Any, tuning: Tuning, number: int, workers: int) -> Any:
    config: TuneConfig = tuning.config
    seed = config.seed * 1_000_003 + number
    if config.sampler != "tpe":
        return optuna.samplers.RandomSampler(seed=seed % 2**32)
    with warnings.catch_warnings():  # constant_liar may still change, which users cannot help
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=_RANDOM_TRIALS,
            constant_liar=workers > 1,
            seed=seed % 2**32,
        )


def _grid(tuning: Tuning) -> list[dict[str, Any]]:
    """Return all combinations, in an order that depends on the search's seed."""
    names = [dimension.name for dimension in tuning.space]
    combined = itertools.product(*(_points(dimension) for dimension in tuning.space))
    points = [dict(zip(names, values, strict=True)) for values in combined]
    random.Random(tuning.config.seed).shuffle(points)
    return points


def trial_count(tuning: Tuning) -> int:
    """Return how many trials there should be: of a grid no more than it has combinations.

    Raises:
        MtlError: naming an option whose range has no step, where a grid is wanted.
    """
    if tuning.config.sampler != "grid":
        return tuning.config.trials
    return min(tuning.config.trials, math.prod(len(_points(d)) for d in tuning.space))


def _points(dimension: Dimension) -> list[Any]:
    if not isinstance(dimension.values, Range):
        return list(dimension.texts)
    low, high, step = dimension.values.low, dimension.values.high, dimension.values.step
    if step is None:
        raise MtlError(
            f"tune.sampler is grid, which needs choices or a step: tune.options.{dimension.name} "
            f"is a range from {low} to {high} without one"
        )
    count = int((high - low) / step + 1e-9) + 1
    return [low + number * step for number in range(count)]


def own_running(study: "Study", directory: Path) -> "list[FrozenTrial]":
    """Return the trials that a process of this folder had begun and not ended, oldest first."""
    from optuna.trial import TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    here = str(directory.resolve())
    return [trial for trial in running if trial.user_attrs.get(FOLDER) == here]


def again(study: "Study", trial: "FrozenTrial") -> "Trial":
    """Return a trial that is running by the data base, to go on with it."""
    from optuna.trial import Trial

    return Trial(study, trial._trial_id)
