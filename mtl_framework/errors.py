"""The errors, under the name that scripts of before the rooms import them by."""

from .support.errors import MtlError, ProblemsError, UnknownNameError

__all__ = ["MtlError", "ProblemsError", "UnknownNameError"]
