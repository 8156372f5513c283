"""Configurations, under the name that scripts of before the rooms import them by."""

from .backbones.config import BackboneConfig
from .runs.config import RunConfig

__all__ = ["BackboneConfig", "RunConfig"]
