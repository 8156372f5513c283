"""Networks whose activations are mixed instead of their weights shared, as a plugin."""

from mtl_framework import hookimpl


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Strategies by name."""
    return {}
