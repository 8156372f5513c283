"""A run that has ended has a result."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

from ..networks.model import ParameterCounts
from ..networks.result import Result
from ..plugins.guard import Guard
from ..strategies.context import TrainingRun
from ..strategies.strategy import Strategy
from ..support.devices import device_name, peak_memory
from .assembly import joint_name
from .config import RunConfig
from .found_sharing import assignment_of, odd_return
from .operations import mean_macs
from .progress_state import ProgressState


def result_of(
    run: TrainingRun,
    config: RunConfig,
    strategy: Strategy,
    state: ProgressState,
    guard: Guard,
) -> Result:
    """Make the result of a run, from the evaluation after its last step.

    ``guard`` is that of the strategy's plugin.
    """
    evaluation, suite = state.measured.last, run.suite
    assert evaluation is not None
    assignment = assignment_of(run.network, config.strategy.name)
    counts: object = run.network.parameter_counts()
    if not isinstance(counts, ParameterCounts):
        raise odd_return(config.strategy.name, "parameter_counts", "ParameterCounts", counts)
    own = dict(zip(suite.task_names, (b.name for b in run.backbones), strict=True))
    return Result(
        strategy=config.strategy.name,
        backbone=joint_name(run.backbones),
        suite=config.suite.name,
        seed=config.seed,
        iterations=state.iteration,
        test=evaluation.splits["test"],
        validation=evaluation.splits.get("validation"),
        best=state.measured.best,
        metrics={task.name: task.metric for task in suite.tasks},
        parameters=counts,
        assignment=assignment,
        seconds=run.seconds,
        seconds_per_iteration=state.training_seconds / state.iteration,
        peak_memory=peak_memory(run.device),
        versions=versions(guard.distribution),
        device=device_name(run.device),
        threads=torch.get_num_threads(),
        backbones=None if suite.common_backbone else own,
        ended=state.ended,
        reported=config.training.report,
        weights="averaged" if strategy.recipe.averages else "raw",
        raw_test=evaluation.splits.get("raw test"),
        higher_is_better=tuple(
            dict.fromkeys(
                m.label for task in suite.tasks for m in task.metrics if m.higher_is_better
            )
        ),
        optimizer=strategy.recipe.used,
        macs=mean_macs(state.macs),
    )


def versions(distribution: str = "") -> dict[str, str]:
    """Return the versions of Python and of the libraries on which a result depends.

    Those of the framework, torch and timm have these names; that of a third party's strategy has
    the name of its package.
    """
    by_name = {"python": platform.python_version()}
    ours = {"framework": "mtl-framework", "torch": "torch", "timm": "timm"}
    for name, package in ours.items():
        try:
            by_name[name] = version(package)
        except PackageNotFoundError:  # imported from a source folder without installation
            by_name[name] = "unknown"
    if distribution not in ("", "mtl-framework"):
        with suppress(PackageNotFoundError):  # of a strategy that was given as a Python object
            by_name[distribution] = version(distribution)
    return by_name
