"""Multi-task learning in which how tasks share weights is a plugin.

This package has what strategies, backbones and programs need; :mod:`mtl_framework.data` has tasks
and suites, :mod:`mtl_framework.plotting` figures of reports, :mod:`mtl_framework.export` networks
in files, :mod:`mtl_framework.testing` checks for authors of strategies. The names in their
``__all__`` are public; everything else may change without notice.

Names are imported when first used, so that importing the package, and marking hooks with
:data:`hookimpl`, does not import torch.
"""

from typing import TYPE_CHECKING

from .support.facade import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .backbones.backbone import Backbone as Backbone
    from .backbones.backbone import PlainBackbone as PlainBackbone
    from .backbones.module_backbone import ModuleBackbone as ModuleBackbone
    from .backbones.recurrent import Recurrent as Recurrent
    from .backbones.recurrent import fresh_state as fresh_state
    from .backbones.recurrent import reset_state as reset_state
    from .backbones.recurrent import stateless as stateless
    from .comparisons.comparison import Comparison as Comparison
    from .comparisons.from_python import compare as compare
    from .networks.adapted import AdaptedLayer as AdaptedLayer
    from .networks.columns import ColumnNetwork as ColumnNetwork
    from .networks.evaluation import Evaluation as Evaluation
    from .networks.features import Features as Features
    from .networks.mixture_networks import MixtureNetworks as MixtureNetworks
    from .networks.model import MultiTaskModel as MultiTaskModel
    from .networks.model import ParameterCounts as ParameterCounts
    from .networks.model import Sharing as Sharing
    from .networks.result import Result as Result
    from .networks.row_losses import RowLossNetworks as RowLossNetworks
    from .networks.separate import SeparateNetworks as SeparateNetworks
    from .networks.task_gradients import task_gradients as task_gradients
    from .networks.task_networks import TaskNetworks as TaskNetworks
    from .networks.unit_sensitivities import unit_sensitivities as unit_sensitivities
    from .networks.weighting import GradientWeighting as GradientWeighting
    from .plugins.hookspecs import hookimpl as hookimpl
    from .plugins.scalar_observer import ScalarObserver as ScalarObserver
    from .routing.mixing import ColumnMixer as ColumnMixer
    from .runs.config import RunConfig as RunConfig
    from .runs.dry_run import Preview as Preview
    from .runs.from_python import dry_run as dry_run
    from .runs.from_python import run as run
    from .runs.load import LoadedRun as LoadedRun
    from .runs.load import load_run as load_run
    from .runs.named import load_backbone as load_backbone
    from .runs.named import load_suite as load_suite
    from .runs.records import RunRecord as RunRecord
    from .runs.run import Run as Run
    from .strategies.assignments import GivenAssignment as GivenAssignment
    from .strategies.assignments import renumber as renumber
    from .strategies.context import FinishedRun as FinishedRun
    from .strategies.context import TrainedRun as TrainedRun
    from .strategies.context import TrainingRun as TrainingRun
    from .strategies.copies import copy_weight as copy_weight
    from .strategies.copies import forget_moments as forget_moments
    from .strategies.initialization import InitialWeights as InitialWeights
    from .strategies.optimizers import FusedAdam as FusedAdam
    from .strategies.recipe_optimizer import RecipeOptimizer as RecipeOptimizer
    from .strategies.resting import resting as resting
    from .strategies.search_distribution import SearchDistribution as SearchDistribution
    from .strategies.shared_start import SharedStart as SharedStart
    from .strategies.shared_start import SharedStartConfig as SharedStartConfig
    from .strategies.step import Step as Step
    from .strategies.strategy import Strategy as Strategy
    from .strategies.strategy import StrategyConfig as StrategyConfig
    from .strategies.training import TrainingConfig as TrainingConfig
    from .support.causes import group_by_cause as group_by_cause
    from .support.distributed import all_reduce_mean as all_reduce_mean
    from .support.errors import MtlError as MtlError
    from .support.errors import ProblemsError as ProblemsError
    from .support.errors import UnknownNameError as UnknownNameError
    from .support.errors import message_of as message_of
    from .support.spreadsheets import csv_cell as csv_cell
    from .support.version import __version__ as __version__

_HOMES = {
    "__version__": "support.version",
    "AdaptedLayer": "networks.adapted",
    "Backbone": "backbones.backbone",
    "ColumnMixer": "routing.mixing",
    "ColumnNetwork": "networks.columns",
    "Features": "networks.features",
    "Comparison": "comparisons.comparison",
    "Evaluation": "networks.evaluation",
    "FinishedRun": "strategies.context",
    "FusedAdam": "strategies.optimizers",
    "GivenAssignment": "strategies.assignments",
    "GradientWeighting": "networks.weighting",
    "InitialWeights": "strategies.initialization",
    "LoadedRun": "runs.load",
    "MixtureNetworks": "networks.mixture_networks",
    "ModuleBackbone": "backbones.module_backbone",
    "MtlError": "support.errors",
    "MultiTaskModel": "networks.model",
    "ParameterCounts": "networks.model",
    "PlainBackbone": "backbones.backbone",
    "Preview": "runs.dry_run",
    "ProblemsError": "support.errors",
    "RecipeOptimizer": "strategies.recipe_optimizer",
    "Recurrent": "backbones.recurrent",
    "Result": "networks.result",
    "RowLossNetworks": "networks.row_losses",
    "Run": "runs.run",
    "RunConfig": "runs.config",
    "RunRecord": "runs.records",
    "ScalarObserver": "plugins.scalar_observer",
    "SearchDistribution": "strategies.search_distribution",
    "SeparateNetworks": "networks.separate",
    "SharedStart": "strategies.shared_start",
    "SharedStartConfig": "strategies.shared_start",
    "Sharing": "networks.model",
    "Step": "strategies.step",
    "Strategy": "strategies.strategy",
    "StrategyConfig": "strategies.strategy",
    "TaskNetworks": "networks.task_networks",
    "TrainedRun": "strategies.context",
    "TrainingConfig": "strategies.training",
    "TrainingRun": "strategies.context",
    "UnknownNameError": "support.errors",
    "all_reduce_mean": "support.distributed",
    "compare": "comparisons.from_python",
    "copy_weight": "strategies.copies",
    "csv_cell": "support.spreadsheets",
    "dry_run": "runs.from_python",
    "forget_moments": "strategies.copies",
    "fresh_state": "backbones.recurrent",
    "group_by_cause": "support.causes",
    "hookimpl": "plugins.hookspecs",
    "load_backbone": "runs.named",
    "load_run": "runs.load",
    "load_suite": "runs.named",
    "message_of": "support.errors",
    "renumber": "strategies.assignments",
    "reset_state": "backbones.recurrent",
    "resting": "strategies.resting",
    "run": "runs.from_python",
    "stateless": "backbones.recurrent",
    "task_gradients": "networks.task_gradients",
    "unit_sensitivities": "networks.unit_sensitivities",
}

# what version 0.1.0 exported from here
_MOVED = {
    "mtl_framework.data": (
        "Batch", "Binary", "Classification", "Examples", "ImageNormalization", "ImageTransform",
        "LanguageModel", "LazyInputs", "Objective", "Regression", "Suite", "Task", "Transforms",
    ),
    "mtl_framework.plotting": (
        "INK", "MARKERS", "MUTED", "PAPER", "ReportFigure", "SEQUENTIAL", "colour_of",
        "new_figure", "shortened", "style",
    ),
}  # fmt: skip

__all__ = sorted(_HOMES)
__getattr__, __dir__ = _lazy_names(
    __name__, _HOMES, {name: new for new, names in _MOVED.items() for name in names}
)
