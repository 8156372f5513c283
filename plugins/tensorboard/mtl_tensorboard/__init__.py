"""TensorBoard, as a plugin: ``observers: [tensorboard]`` in a run's config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Needs the extra ``[tensorboard]``; imported only where a config names it."""
    return {"tensorboard": "mtl_tensorboard.observer:TensorBoard"}
