"""A run writes CSV by this plugin: ``observers: [csv]`` in its config."""

from mtl_framework import hookimpl


@hookimpl
def mtl_observers() -> dict[str, str]:
    """Contribute :class:`CsvFile`, which needs nothing beside the framework."""
    return {"csv": "mtl_csv.observer:CsvFile"}
