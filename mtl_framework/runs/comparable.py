"""Runs that are compared should have the same examples, and as many iterations."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..data.examples import SPLITS
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes
from .folder import RunFolder
from .known_data import read_known
from .known_examples import examples_differ
from .records import RunRecord


def other_examples(records: Iterable[RunRecord]) -> str | None:
    """Say the first finished run that has other examples than the first one; ``None``: none has.

    Their order does not count. Runs without a record of their data are passed over.
    """
    first: tuple[RunRecord, Any] | None = None
    seen: set[bytes] = set()
    for record in records:
        file = RunFolder(record.directory).tasks
        if record.result is None or kind_of(file) != "file":
            continue
        try:
            digest = hashlib.blake2b(read_bytes(file)).digest()
            if digest in seen:
                continue
            seen.add(digest)
            known = (read_known(file) or {})["examples"]
            if first is None:
                first = record, known
                continue
            problem = examples_differ(first[1], known, SPLITS)
        except (MtlError, KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"tasks.json cannot be read ({type(error).__name__})"
        if problem:
            reference = "the first run" if first is None else f"{first[0].directory.name}"
            return f"{record.directory.name}, unlike {reference}: {problem}"
    return None


def other_iterations(records: Iterable[RunRecord]) -> str | None:
    """Say which settings were given how many iterations; ``None``: all the same.

    Runs that ended early count with the iterations that they were given; those whose folder holds
    no config are passed over.
    """
    settings: dict[int, dict[str, None]] = {}
    for record in records:
        if record.result is not None and kind_of(RunFolder(record.directory).config) == "file":
            settings.setdefault(int(record.config["iterations"]), {})[record.strategy] = None
    if len(settings) < 2:
        return None
    return "; ".join(f"{', '.join(labels)} {count:,}" for count, labels in settings.items())


def other_surroundings(records: Iterable[RunRecord]) -> list[str]:
    """Say which devices, and which versions of packages, finished runs do not have in common.

    Each stands with its number of runs, e.g. ``torch 2.11.0 (6), 2.14.1 (3)``. A package counts
    where runs have two versions of it: that of a third party's strategy is none that runs of other
    strategies know.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        if record.result is not None:
            counts.setdefault("device", Counter())[record.result.device] += 1
            for name, version in record.result.versions.items():
                counts.setdefault(name, Counter())[version] += 1
    return [
        f"{name} {', '.join(f'{value} ({runs})' for value, runs in sorted(found.items()))}"
        for name, found in counts.items()
        if len(found) > 1
    ]
