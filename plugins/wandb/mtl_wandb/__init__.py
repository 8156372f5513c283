"""A run logs to Weights & Biases by this plugin: ``observers: [wandb]`` in its config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Contribute the observer; the extra ``[wandb]`` is imported only where a config names it."""
    return {"wandb": "mtl_wandb.observer:WeightsAndBiases"}
