"""This file reads the installed version of the framework."""

from importlib.metadata import version

__version__ = version("mtl-framework")
