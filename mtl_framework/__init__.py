"""Multi-task learning in which how tasks share weights is a plugin.

Everything a plugin needs is importable from here. Names are loaded when first used, so that
importing the package, and marking hooks with :data:`hookimpl`, does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backbones.backbone import Backbone as Backbone
    from .backbones.backbone import PlainBackbone as PlainBackbone
    from .backbones.recurrent import Recurrent as Recurrent
    from .backbones.recurrent import fresh_state as fresh_state
    from .backbones.recurrent import reset_state as reset_state
    from .backbones.recurrent import stateless as stateless
    from .data.batches import Batch as Batch
    from .data.images import ImageNormalization as ImageNormalization
    from .data.objectives import Binary as Binary
    from .data.objectives import Classification as Classification
    from .data.objectives import LanguageModel as LanguageModel
    from .data.objectives import Objective as Objective
    from .data.objectives import Regression as Regression
    from .data.streaming import LazyInputs as LazyInputs
    from .data.tasks import Examples as Examples
    from .data.tasks import Suite as Suite
    from .data.tasks import Task as Task
    from .data.transforms import ImageTransform as ImageTransform
    from .data.transforms import Transforms as Transforms
    from .networks.columns import ColumnNetwork as ColumnNetwork
    from .networks.evaluation import Evaluation as Evaluation
    from .networks.model import MultiTaskModel as MultiTaskModel
    from .networks.model import ParameterCounts as ParameterCounts
    from .networks.model import Sharing as Sharing
    from .networks.separate import SeparateNetworks as SeparateNetworks
    from .networks.task_networks import TaskNetworks as TaskNetworks
    from .plugins.hookspecs import hookimpl as hookimpl
    from .plugins.report_figure import ReportFigure as ReportFigure
    from .reports.figure import INK as INK
    from .reports.figure import MARKERS as MARKERS
    from .reports.figure import MUTED as MUTED
    from .reports.figure import PAPER as PAPER
    from .reports.figure import SEQUENTIAL as SEQUENTIAL
    from .reports.figure import colour_of as colour_of
    from .reports.figure import new_figure as new_figure
    from .reports.figure import shortened as shortened
    from .reports.figure import style as style
    from .runs.config import RunConfig as RunConfig
    from .runs.load import LoadedRun as LoadedRun
    from .runs.load import load_run as load_run
    from .runs.records import RunRecord as RunRecord
    from .runs.run import Result as Result
    from .runs.run import Run as Run
    from .strategies.assignments import GivenAssignment as GivenAssignment
    from .strategies.assignments import renumber as renumber
    from .strategies.context import FinishedRun as FinishedRun
    from .strategies.context import TrainedRun as TrainedRun
    from .strategies.context import TrainingRun as TrainingRun
    from .strategies.initialization import InitialWeights as InitialWeights
    from .strategies.optimizers import FusedAdam as FusedAdam
    from .strategies.strategy import Step as Step
    from .strategies.strategy import Strategy as Strategy
    from .strategies.strategy import StrategyConfig as StrategyConfig
    from .support.distributed import all_reduce_mean as all_reduce_mean
    from .support.errors import MtlError as MtlError
    from .support.errors import ProblemsError as ProblemsError
    from .support.errors import UnknownNameError as UnknownNameError

    __version__: str

_HOMES = {
    "Backbone": "backbones.backbone",
    "Batch": "data.batches",
    "Binary": "data.objectives",
    "Classification": "data.objectives",
    "ColumnNetwork": "networks.columns",
    "Evaluation": "networks.evaluation",
    "Examples": "data.tasks",
    "FinishedRun": "strategies.context",
    "FusedAdam": "strategies.optimizers",
    "GivenAssignment": "strategies.assignments",
    "INK": "reports.figure",
    "ImageNormalization": "data.images",
    "ImageTransform": "data.transforms",
    "InitialWeights": "strategies.initialization",
    "LanguageModel": "data.objectives",
    "LazyInputs": "data.streaming",
    "LoadedRun": "runs.load",
    "MARKERS": "reports.figure",
    "MUTED": "reports.figure",
    "MtlError": "support.errors",
    "MultiTaskModel": "networks.model",
    "Objective": "data.objectives",
    "PAPER": "reports.figure",
    "ParameterCounts": "networks.model",
    "PlainBackbone": "backbones.backbone",
    "ProblemsError": "support.errors",
    "Recurrent": "backbones.recurrent",
    "Regression": "data.objectives",
    "ReportFigure": "plugins.report_figure",
    "Result": "networks.result",
    "Run": "runs.run",
    "RunConfig": "runs.config",
    "RunRecord": "runs.records",
    "SEQUENTIAL": "reports.figure",
    "SeparateNetworks": "networks.separate",
    "Sharing": "networks.model",
    "Step": "strategies.strategy",
    "Strategy": "strategies.strategy",
    "StrategyConfig": "strategies.strategy",
    "Suite": "data.tasks",
    "Task": "data.tasks",
    "TaskNetworks": "networks.task_networks",
    "TrainedRun": "strategies.context",
    "TrainingRun": "strategies.context",
    "Transforms": "data.transforms",
    "UnknownNameError": "support.errors",
    "all_reduce_mean": "support.distributed",
    "colour_of": "reports.figure",
    "fresh_state": "backbones.recurrent",
    "hookimpl": "plugins.hookspecs",
    "load_run": "runs.load",
    "new_figure": "reports.figure",
    "renumber": "strategies.assignments",
    "reset_state": "backbones.recurrent",
    "stateless": "backbones.recurrent",
    "shortened": "reports.figure",
    "style": "reports.figure",
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
