"""A run writes for TensorBoard by this plugin: ``observers: [tensorboard]`` in its config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Contribute the observer; the extra ``[tensorboard]`` is imported only where it is named."""
    return {"tensorboard": "mtl_tensorboard.observer:TensorBoard"}
