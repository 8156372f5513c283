"""Objectives: the loss that trains a task and the metrics that judge it."""

from .base import Objective, first_row
from .binary import Binary
from .classification import Classification
from .language import LanguageModel
from .maps.base import MapObjective
from .maps.binary_map import BinaryMap
from .maps.depth import Depth
from .maps.map_regression import MapRegression
from .maps.normals import Normals
from .maps.segmentation import Segmentation
from .multi_label import MultiLabel
from .ordinal import Ordinal
from .regression import GaussianRegression, PoissonRegression, Regression

__all__ = [
    "Binary",
    "BinaryMap",
    "Classification",
    "Depth",
    "GaussianRegression",
    "LanguageModel",
    "MapObjective",
    "MapRegression",
    "MultiLabel",
    "Normals",
    "Objective",
    "Ordinal",
    "PoissonRegression",
    "Regression",
    "Segmentation",
    "first_row",
]
