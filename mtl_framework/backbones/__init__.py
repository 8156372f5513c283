"""A backbone is a model that was run to learn where it can be cut into units."""

from typing import TYPE_CHECKING

from ..support.facade import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .build import build_backbone as build_backbone

__getattr__, __dir__ = _lazy_names(__name__, {"build_backbone": "build"})
