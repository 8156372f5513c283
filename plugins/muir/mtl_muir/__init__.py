"""Modular universal reparameterization (Meyerson and Miikkulainen 2019, arXiv 1906.00097), as a plugin."""

from mtl_framework import hookimpl


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Strategies by name."""
    return {}
