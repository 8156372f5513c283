"""Assignments of earlier runs that a run was built with: it keeps them, so that those may be gone.

``earlier.json`` in the run's folder has them by the path that the config gives.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..strategies.assignments import Earlier, earlier_assignments
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes, write_text

_SCHEMA = TypeAdapter(Earlier)


@contextmanager
def remembered(file: Path | None) -> Iterator[Earlier]:
    """Let networks be built with the assignments that a file has; gives these and further ones.

    Args:
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
    with earlier_assignments(known):
        yield known


def write_earlier(file: Path, earlier: Earlier) -> None:
    """Keep the assignments that networks were built with, where there are any.

    Raises:
        MtlError: if the file cannot be written.
    """
    if earlier:
        write_text(file, json.dumps(earlier) + "\n")
