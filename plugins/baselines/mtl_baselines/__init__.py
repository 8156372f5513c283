"""Fixed ways to share weights, to compare others with, as a plugin."""

from mtl_framework import hookimpl


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Everything shared, nothing shared, and any assignment that is known beforehand."""
    return {
        "full_sharing": "mtl_baselines.ends:FullSharing",
        "no_sharing": "mtl_baselines.ends:NoSharing",
        "fixed_sharing": "mtl_baselines.given:FixedSharing",
    }
