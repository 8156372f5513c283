"""Objectives: what a task is trained with and judged by."""

from .base import Objective, first_row
from .binary import Binary
from .classification import Classification
from .language import LanguageModel
from .multi_label import MultiLabel
from .ordinal import Ordinal
from .regression import GaussianRegression, PoissonRegression, Regression

__all__ = [
    "Binary",
    "Classification",
    "GaussianRegression",
    "LanguageModel",
    "MultiLabel",
    "Objective",
    "Ordinal",
    "PoissonRegression",
    "Regression",
    "first_row",
]
