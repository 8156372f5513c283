"""Learned weight sharing, as a plugin."""

from mtl_framework import hookimpl


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Prellberg and Kramer 2020."""
    return {"lws": "mtl_lws.strategy:LearnedWeightSharing"}
