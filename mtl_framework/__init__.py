"""Multi-task learning in which how tasks share weights is a plugin.

Everything a plugin needs is importable from here. Names are loaded when first used, so that
importing the package, and marking hooks with :data:`hookimpl`, does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assignments import GivenAssignment as GivenAssignment
    from .assignments import renumber as renumber
    from .backbones import Backbone as Backbone
    from .config import RunConfig as RunConfig
    from .data.batches import Batch as Batch
    from .data.streaming import LazyInputs as LazyInputs
    from .distributed import all_reduce_mean as all_reduce_mean
    from .errors import MtlError as MtlError
    from .errors import UnknownNameError as UnknownNameError
    from .evaluation import Evaluation as Evaluation
    from .hookspecs import hookimpl as hookimpl
    from .load import LoadedRun as LoadedRun
    from .load import load_run as load_run
    from .model import MultiTaskModel as MultiTaskModel
    from .model import ParameterCounts as ParameterCounts
    from .model import Sharing as Sharing
    from .network import TaskNetworks as TaskNetworks
    from .objectives import Binary as Binary
    from .objectives import Classification as Classification
    from .objectives import LanguageModel as LanguageModel
    from .objectives import Objective as Objective
    from .objectives import Regression as Regression
    from .records import RunRecord as RunRecord
    from .report.figure import ReportFigure as ReportFigure
    from .run import Result as Result
    from .run import Run as Run
    from .strategy import Step as Step
    from .strategy import Strategy as Strategy
    from .strategy import StrategyConfig as StrategyConfig
    from .tasks import Examples as Examples
    from .tasks import Suite as Suite
    from .tasks import Task as Task

    __version__: str

_HOMES = {
    "Backbone": "backbones",
    "Batch": "data.batches",
    "Binary": "objectives",
    "Classification": "objectives",
    "Evaluation": "evaluation",
    "Examples": "tasks",
    "GivenAssignment": "assignments",
    "LanguageModel": "objectives",
    "LazyInputs": "data.streaming",
    "LoadedRun": "load",
    "MtlError": "errors",
    "MultiTaskModel": "model",
    "Objective": "objectives",
    "ParameterCounts": "model",
    "Regression": "objectives",
    "ReportFigure": "report.figure",
    "Result": "run",
    "Run": "run",
    "RunConfig": "config",
    "RunRecord": "records",
    "Sharing": "model",
    "Step": "strategy",
    "Strategy": "strategy",
    "StrategyConfig": "strategy",
    "Suite": "tasks",
    "Task": "tasks",
    "TaskNetworks": "network",
    "UnknownNameError": "errors",
    "all_reduce_mean": "distributed",
    "hookimpl": "hookspecs",
    "load_run": "load",
    "renumber": "assignments",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mtl-framework")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
