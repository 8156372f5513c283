"""Hooks are specified here: what a plugin can contribute and observe.

A plugin is a module named by an entry point in the group ``mtl_framework``. It marks functions
with ``@mtl_framework.hookimpl`` and may leave out any hook and any argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from torch import nn

    from ..data.objectives import Objective
    from ..data.tasks import Suite
    from ..networks.evaluation import Evaluation
    from ..networks.result import Result
    from ..strategies.context import FinishedRun, TrainingRun
    from ..strategies.step import Step
    from ..strategies.strategy import Strategy
    from .report_figure import ReportFigure

hookspec = pluggy.HookspecMarker("mtl_framework")
hookimpl = pluggy.HookimplMarker("mtl_framework")


@hookspec
def mtl_strategies() -> Mapping[str, type[Strategy] | str]:  # type: ignore[empty-body]
    """Return strategies by name: classes, or ``"module:Class"`` to import only when used."""


@hookspec
def mtl_backbones() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Return backbones: factories ``(num_classes, in_chans, img_size, **args) -> nn.Module``."""


@hookspec
def mtl_suites() -> Mapping[str, Callable[..., Suite] | str]:  # type: ignore[empty-body]
    """Return suites by name: factories whose keyword arguments are the suite's options."""


@hookspec
def mtl_observers() -> Mapping[str, Callable[..., object] | str]:  # type: ignore[empty-body]
    """Return observers by name; a run has those that its config's ``observers`` names.

    Observers are factories whose keyword arguments are the observer's options. The object that they
    return has methods that are marked like the hooks below, and may have a method ``close``.
    """


@hookspec
def mtl_objectives() -> Mapping[str, Callable[..., Objective] | str]:  # type: ignore[empty-body]
    """Return objectives by name: factories ``(task, /, **options)`` for a run's config.

    A factory takes a task as its suite made it, and returns the objective that the task shall have;
    keyword arguments are the options.
    """


@hookspec
def mtl_heads() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Return heads by name: factories ``(channels, num_outputs, /, **options)``.

    They are for tasks whose outputs are maps. A factory takes the channels of the backbone's maps,
    the finest first, and the number of outputs. It makes a module that turns a list of such maps
    (rows, channels, height, width) into one map of ``num_outputs`` channels, at any resolution;
    keyword arguments are the options.
    """


@hookspec
def mtl_figures(runs: Sequence[FinishedRun]) -> Iterable[ReportFigure] | None:
    """Return figures for a report on ``runs`` of one suite and backbone, of any strategies.

    A strategy's plugin looks for its own runs (``run.result.strategy``), and draws from their
    ``history``, which holds all metrics of its steps, or from ``checkpoint()``, its saved state.
    """


@hookspec
def mtl_run_started(run: TrainingRun) -> None:
    """Observe that a run begins, or continues, at ``run.iteration``."""


@hookspec
def mtl_step(run: TrainingRun, step: Step) -> None:
    """Observe that the strategy has finished one iteration."""


@hookspec
def mtl_evaluated(run: TrainingRun, evaluation: Evaluation) -> None:
    """Observe that the current networks have been evaluated."""


@hookspec
def mtl_run_finished(run: TrainingRun, result: Result) -> None:
    """Observe that the last iteration is done and ``result`` is written."""
