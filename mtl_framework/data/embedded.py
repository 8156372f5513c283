"""The suites that come with the framework; nothing is loaded before one of them is used."""

from ..hookspecs import hookimpl


@hookimpl
def mtl_suites() -> dict[str, str]:
    """The embedded suites by name."""
    return {
        "alphabets": "mtl_framework.data.alphabets:alphabets",
        "arrays": "mtl_framework.data.arrays:arrays",
        "digits": "mtl_framework.data.digits:digits",
        "folders": "mtl_framework.data.folders:folders",
        "table": "mtl_framework.data.table:table",
    }
