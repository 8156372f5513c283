"""A run logs to MLflow by this plugin: ``observers: [mlflow]`` in its config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Contribute the observer; the extra ``[mlflow]`` is imported only where a config names it."""
    return {"mlflow": "mtl_mlflow.observer:MLflow"}
