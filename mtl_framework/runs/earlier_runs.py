"""Assignments of earlier runs that a run was built with: it keeps them, so that those may be gone.

``earlier.json`` in the run's folder has them by the path that the config gives.
"""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..strategies.assignments import Earlier, take_from
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes, write_text

_SCHEMA = TypeAdapter(Earlier)


def remember(options: object, file: Path | None) -> Earlier:
    """Let options take the assignments that a file has; gives these and what they read further.

    Args:
        options: of a strategy that builds its networks afterwards.
        file: of the run; ``None`` where it begins, or if there is no such file: every assignment is
            read from its own run.

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
    """Keep the assignments that networks were built with, where there are any.

    Raises:
        MtlError: if the file cannot be written.
    """
    if earlier:
        write_text(file, json.dumps(earlier) + "\n")
