"""This plugin has fixed ways to share weights, to compare others with."""

from mtl_framework import hookimpl


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute everything shared, nothing shared, and any assignment known beforehand."""
    return {
        "full_sharing": "mtl_baselines.ends:FullSharing",
        "no_sharing": "mtl_baselines.ends:NoSharing",
        "fixed_sharing": "mtl_baselines.given:FixedSharing",
    }
