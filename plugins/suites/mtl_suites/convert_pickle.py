"""``python -m mtl_suites.convert_pickle --trust FILE...`` turns pickles into JSON.

Reading a pickle executes whatever code the file contains, so use this only for files that you
trust; reading the JSON executes nothing. Beside ``name.pkl`` it writes ``name.json``, which suites
read in its place. Dictionaries are written as ``{"dict": [[key, value], ...]}`` and tuples as
``{"tuple": [...]}``; arrays become lists.
"""

import argparse
import json
import pickle
import sys
from pathlib import Path
from typing import Any

from mtl_framework import MtlError


def encode(value: Any) -> Any:
    """Return a value in the form in which JSON holds it.

    Raises:
        MtlError: if it is neither text, number, list, tuple, dictionary nor array.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise MtlError(f"JSON holds no {type(value).__name__}")


def decode(value: Any) -> Any:
    """Return the value that :func:`encode` was given; arrays come back as lists.

    Raises:
        MtlError: if :func:`encode` cannot have returned ``value``.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    match value:
        case {"tuple": list(items)}:
            return tuple(decode(item) for item in items)
        case {"dict": list(pairs)} if all(isinstance(p, list) and len(p) == 2 for p in pairs):
            try:
                return {decode(key): decode(item) for key, item in pairs}
            except TypeError as error:
                raise MtlError(f"a key is no plain value: {error}") from error
        case dict():
            raise MtlError(f"{str(value)[:60]} is no converted value")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Convert files, and return the exit status: 0, or 2 after an error."""
    parser = argparse.ArgumentParser(prog="mtl_suites.convert_pickle", description=__doc__)
    parser.add_argument(
        "--trust", action="store_true", required=True, help="the files may execute anything"
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    for file in parser.parse_args(arguments).files:
        target = file.with_suffix(".json")
        if target.exists():
            print(f"error: {target} exists already", file=sys.stderr)
            return 2
        with file.open("rb") as opened:
            value = pickle.load(opened, encoding="latin1")
        try:
            target.write_text(json.dumps(encode(value)))
        except MtlError as error:
            print(f"error: {file}: {error}", file=sys.stderr)
            return 2
        print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
