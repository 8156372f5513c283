"""A run keeps the assignments of earlier runs that it was built with, so that those may be gone.

``earlier.json`` in the run's folder holds them, by the path that the config gives.
"""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..strategies.assignments import Earlier, take_from
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes, write_text

_SCHEMA = TypeAdapter(Earlier)


def remember(options: object, file: Path | None) -> Earlier:
    """Let options take assignments of earlier runs from a file; return all that they took.

    Args:
        options: options of a strategy, before it builds its networks.
        file: the run's ``earlier.json``; ``None``, or no such file: every assignment is read from
            its own run.

    Raises:
        MtlError: if the file cannot be read or is damaged.
    """
    known: Earlier = {}
    if file is not None and kind_of(file) is not None:
        try:
            known = _SCHEMA.validate_json(read_bytes(file), strict=True)
        except ValidationError as error:
            raise MtlError(f"{file} is damaged: {error.errors()[0]['msg']}") from error
    take_from(known, options)
    return known


def write_earlier(file: Path, earlier: Earlier) -> None:
    """Write the assignments of earlier runs that networks were built with, if there are any.

    Raises:
        MtlError: if the file cannot be written.
    """
    if earlier:
        write_text(file, json.dumps(earlier) + "\n")
