"""Weights & Biases, as a plugin: ``observers: [wandb]`` in a run's config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Needs the extra ``[wandb]``; imported only where a config names it."""
    return {"wandb": "mtl_wandb.observer:WeightsAndBiases"}
