"""One picture in two splits, by whatever name: what is measured on it was seen in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from .faults import Faults
from .file_contents import FileContents

#: What should be done where training and test have pictures in common.
Policy = Literal["refuse", "warn", "allow"]
_ORDER = ("train", "validation", "test")


def seen_twice(
    files: Mapping[str, Sequence[Path]],
    names: Mapping[str, Sequence[str]],
    policy: Policy,
    faults: Faults,
    contents: FileContents,
) -> tuple[dict[str, Bool[np.ndarray, " _"]], list[str]]:
    """Look for files with the same bytes in two splits, links and other spellings included.

    Args:
        files: of every split.
        names: what to call them in messages.
        policy: ``refuse``: pictures in training and test are faults, and others are told;
            ``warn``: all are told; ``allow``: nothing is looked for.
        faults: gets the pictures that are refused.
        contents: of the files.

    Returns:
        by split which files to keep, where what is refused is left out: the copies in training go;
        and lines that tell of the others.
    """
    keep = {split: np.ones(len(paths), bool) for split, paths in files.items()}
    if policy == "allow":
        return keep, []
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for members in _same(files, contents).values():
        by_split = {split: [row for s, row in members if s == split] for split in _ORDER}
        present = [split for split in _ORDER if by_split[split]]
        for later in present[1:]:
            earlier = present[0]
            pair = names[earlier][by_split[earlier][0]], names[later][by_split[later][0]]
            if policy == "refuse" and (earlier, later) == ("train", "test"):
                faults.add(
                    pair[1],
                    f"is the same picture in test as {pair[0]!r} in train: remove one, or set "
                    "suite.duplicates=warn",
                )
                keep["train"][by_split["train"]] = False
            else:
                told.setdefault((earlier, later), []).append(pair)
    lines = [
        f"{len(pairs)} pictures are in both {earlier} and {later}, e.g. {pairs[0][0]} and "
        f"{pairs[0][1]}"
        for (earlier, later), pairs in told.items()
    ]
    return keep, lines


def _same(
    files: Mapping[str, Sequence[Path]], contents: FileContents
) -> dict[bytes, list[tuple[str, int]]]:
    """Files by their content, (split, position) each; only content that two splits have."""
    sizes: dict[int, list[tuple[str, int]]] = {}
    for split, paths in files.items():
        for row, path in enumerate(paths):
            try:
                size = path.stat().st_size
            except (OSError, ValueError):  # a name that no file can have
                continue  # told when it is read
            sizes.setdefault(size, []).append((split, row))
    by_content: dict[bytes, list[tuple[str, int]]] = {}
    for members in sizes.values():
        if _in_two(members):
            for split, row in members:
                digest = contents.digest(files[split][row])
                if digest is not None:
                    by_content.setdefault(digest, []).append((split, row))
    return {digest: members for digest, members in by_content.items() if _in_two(members)}


def _in_two(members: Sequence[tuple[str, int]]) -> bool:
    return len({split for split, _ in members}) > 1
