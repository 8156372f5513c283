"""CSV, as a plugin: ``observers: [csv]`` in a run's config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Needs nothing beside the framework."""
    return {"csv": "mtl_csv.observer:CsvFile"}
