"""Pseudo-task augmentation (Meyerson and Miikkulainen 2018, arXiv 1803.04062), as a plugin."""

from mtl_framework import hookimpl


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Strategies by name."""
    return {}
