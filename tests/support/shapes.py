"""Shapes in signatures are enforced while the tests run, at a price that they can pay.

jaxtyping's import hook wraps every function, and each wrapping compiles several others: some
14,000 in one small run, most of them for signatures without any tensor, which mypy has checked
already. Here only signatures that name a shape are wrapped.
"""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import jaxtyping
from jaxtyping import AbstractArray, install_import_hook

_wrap = jaxtyping.jaxtyped


def names_a_shape(annotation: object) -> bool:
    """Whether a shape stands anywhere in an annotation, in words or not."""
    if isinstance(annotation, str):
        return "[Tensor" in annotation.replace(" ", "")
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    return any(names_a_shape(part) for part in get_args(annotation))


def _annotations(obj: Any) -> list[object]:
    if isinstance(obj, (classmethod, staticmethod)):
        return _annotations(obj.__func__)
    if isinstance(obj, property):
        parts = (obj.fget, obj.fset, obj.fdel)
        return [found for part in parts if part is not None for found in _annotations(part)]
    return list(getattr(obj, "__annotations__", {}).values())


def _jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    def decorate(obj: Any) -> Any:
        if any(names_a_shape(annotation) for annotation in _annotations(obj)):
            return _wrap(typechecker=typechecker)(obj)
        return obj

    return decorate


def enforce_shapes(packages: Sequence[str]) -> None:
    """Check the shapes in signatures of ``packages``, which are not yet imported, at each call."""
    jaxtyping.jaxtyped = _jaxtyped  # type: ignore[assignment] # what the hook calls by this name
    install_import_hook(packages, "beartype.beartype")
