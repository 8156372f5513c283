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
    from .backbones import PlainBackbone as PlainBackbone
    from .columns import ColumnNetwork as ColumnNetwork
    from .config import RunConfig as RunConfig
    from .data.batches import Batch as Batch
    from .data.images import ImageNormalization as ImageNormalization
    from .data.streaming import LazyInputs as LazyInputs
    from .data.transforms import ImageTransform as ImageTransform
    from .data.transforms import Transforms as Transforms
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
    from .optimizers import FusedAdam as FusedAdam
    from .records import RunRecord as RunRecord
    from .recurrent import Recurrent as Recurrent
    from .recurrent import fresh_state as fresh_state
    from .recurrent import reset_state as reset_state
    from .recurrent import stateless as stateless
    from .report.figure import INK as INK
    from .report.figure import MARKERS as MARKERS
    from .report.figure import MUTED as MUTED
    from .report.figure import PAPER as PAPER
    from .report.figure import SEQUENTIAL as SEQUENTIAL
    from .report.figure import ReportFigure as ReportFigure
    from .report.figure import colour_of as colour_of
    from .report.figure import new_figure as new_figure
    from .report.figure import shortened as shortened
    from .report.figure import style as style
    from .run import Result as Result
    from .run import Run as Run
    from .separate import SeparateNetworks as SeparateNetworks
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
    "ColumnNetwork": "columns",
    "Evaluation": "evaluation",
    "Examples": "tasks",
    "FusedAdam": "optimizers",
    "GivenAssignment": "assignments",
    "INK": "report.figure",
    "ImageNormalization": "data.images",
    "ImageTransform": "data.transforms",
    "LanguageModel": "objectives",
    "LazyInputs": "data.streaming",
    "LoadedRun": "load",
    "MARKERS": "report.figure",
    "MUTED": "report.figure",
    "MtlError": "errors",
    "MultiTaskModel": "model",
    "Objective": "objectives",
    "PAPER": "report.figure",
    "ParameterCounts": "model",
    "PlainBackbone": "backbones",
    "Recurrent": "recurrent",
    "Regression": "objectives",
    "ReportFigure": "report.figure",
    "Result": "run",
    "Run": "run",
    "RunConfig": "config",
    "RunRecord": "records",
    "SEQUENTIAL": "report.figure",
    "SeparateNetworks": "separate",
    "Sharing": "model",
    "Step": "strategy",
    "Strategy": "strategy",
    "StrategyConfig": "strategy",
    "Suite": "tasks",
    "Task": "tasks",
    "TaskNetworks": "network",
    "Transforms": "data.transforms",
    "UnknownNameError": "errors",
    "all_reduce_mean": "distributed",
    "colour_of": "report.figure",
    "fresh_state": "recurrent",
    "hookimpl": "hookspecs",
    "load_run": "load",
    "new_figure": "report.figure",
    "renumber": "assignments",
    "reset_state": "recurrent",
    "stateless": "recurrent",
    "shortened": "report.figure",
    "style": "report.figure",
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
