"""MLflow, as a plugin: ``observers: [mlflow]`` in a run's config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Needs the extra ``[mlflow]``; imported only where a config names it."""
    return {"mlflow": "mtl_mlflow.observer:MLflow"}
