"""What a plugin can contribute and observe.

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
    """Strategies by name: classes, or ``"module:Class"`` to import only when used."""


@hookspec
def mtl_backbones() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Backbones by name: factories ``(num_classes, in_chans, img_size, **args) -> nn.Module``."""


@hookspec
def mtl_suites() -> Mapping[str, Callable[..., Suite] | str]:  # type: ignore[empty-body]
    """Suites by name: factories whose keyword arguments are the suite's options."""


@hookspec
def mtl_observers() -> Mapping[str, Callable[..., object] | str]:  # type: ignore[empty-body]
    """Observers by name, which a run has when its config's ``observers`` names them.

    Factories whose keyword arguments are the observer's options; what they return has methods that
    are marked like hooks below, and perhaps ``close``.
    """


@hookspec
def mtl_objectives() -> Mapping[str, Callable[..., Objective] | str]:  # type: ignore[empty-body]
    """Objectives by name: factories ``(task, /, **options)``, which a run's config can choose.

    They take a task as its suite made it, and return the objective that it shall have; keyword
    arguments are the options.
    """


@hookspec
def mtl_heads() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Heads by name, for tasks whose outputs are maps: factories ``(channels, num_outputs, /,
    **options)``.

    They take the channels of the backbone's maps, the finest first, and the number of outputs, and
    make a module that turns a list of such maps (rows, channels, height, width) into one of
    ``num_outputs`` channels, at any resolution; keyword arguments are the options.
    """


@hookspec
def mtl_figures(runs: Sequence[FinishedRun]) -> Iterable[ReportFigure] | None:
    """Further figures for a report on ``runs`` of one suite and backbone, of any strategies.

    A strategy's plugin looks for its own runs (``run.result.strategy``), and draws from their
    ``history``, which holds all metrics of its steps, or from ``checkpoint()``, its saved state.
    """


@hookspec
def mtl_run_started(run: TrainingRun) -> None:
    """A run begins, or continues, at ``run.iteration``."""


@hookspec
def mtl_step(run: TrainingRun, step: Step) -> None:
    """The strategy finished one iteration."""


@hookspec
def mtl_evaluated(run: TrainingRun, evaluation: Evaluation) -> None:
    """The current networks were evaluated."""


@hookspec
def mtl_run_finished(run: TrainingRun, result: Result) -> None:
    """The last iteration is done and ``result`` is written."""
