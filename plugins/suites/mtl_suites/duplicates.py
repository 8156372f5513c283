"""One picture may be in two splits, so that a network is tested on what it has seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from .faults import Faults
from .file_contents import FileContents

#: What happens if training and test have pictures in common.
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
        files: the files of every split.
        names: what the files of every split are called in messages.
        policy: what happens to pictures in two splits. With ``refuse`` those in training and test
            are faults, and others get a line; with ``warn`` all get a line; with ``allow`` nothing
            is looked for.
        faults: the collection that gets the pictures that are refused.
        contents: digests of the files.

    Returns:
        for every split whether a file is kept, which copies in training of refused pictures are
        not; and lines that tell of pictures that are not refused.
    """
    if policy == "allow":
        return _all(files), []
    copies = copies_between(_same(files, contents).values())
    return _settled(copies, files, names, policy, faults)


def same_pixels(
    files: Mapping[str, Sequence[Path]],
    names: Mapping[str, Sequence[str]],
    policy: Policy,
    faults: Faults,
    contents: FileContents,
) -> tuple[dict[str, Bool[np.ndarray, " _"]], list[str]]:
    """Look for pictures with the same pixels in two splits, in files of different bytes.

    Only files whose pixels have been read are compared. Files of the same bytes are left to
    :func:`seen_twice`, whose arguments and results these are.
    """
    if policy == "allow":
        return _all(files), []
    same: dict[bytes, list[tuple[str, int]]] = {}
    for split, paths in files.items():
        for row, path in enumerate(paths):
            if path in contents.pixels:
                same.setdefault(contents.pixels[path], []).append((split, row))
    copies = copies_between(members for members in same.values() if _in_two(members))
    others = {
        (earlier, later): [
            (one, two)
            for one, two in pairs
            if contents.digest(files[earlier][one]) != contents.digest(files[later][two])
        ]
        for (earlier, later), pairs in copies.pairs.items()
    }
    others = {splits: pairs for splits, pairs in others.items() if pairs}
    train = copies.train if ("train", "test") in others else []
    return _settled(Copies(others, train), files, names, policy, faults, " in another format")


def _all(files: Mapping[str, Sequence[Path]]) -> dict[str, Bool[np.ndarray, " _"]]:
    return {split: np.ones(len(paths), bool) for split, paths in files.items()}


def _settled(
    copies: "Copies",
    files: Mapping[str, Sequence[Path]],
    names: Mapping[str, Sequence[str]],
    policy: Policy,
    faults: Faults,
    how: str = "",
) -> tuple[dict[str, Bool[np.ndarray, " _"]], list[str]]:
    """Refuse copies, or tell of them; ``how`` says what they are besides the same picture."""
    keep, lines = _all(files), []
    for (earlier, later), pairs in copies.pairs.items():
        if policy == "refuse" and (earlier, later) == ("train", "test"):
            for one, other in pairs:
                faults.add(
                    names[later][other],
                    f"is the same picture in test as {names[earlier][one]!r} in train{how}: remove "
                    "one, or set suite.duplicates=warn",
                )
            keep["train"][copies.train] = False
        else:
            one, other = pairs[0]
            what = "picture is" if len(pairs) == 1 else "pictures are"
            lines.append(
                f"{len(pairs)} {what} in both {earlier} and {later}{how}, e.g. "
                f"{names[earlier][one]} and {names[later][other]}"
            )
    return keep, lines


@dataclass(frozen=True)
class Copies:
    """This class says what several splits have in common.

    Args:
        pairs: for two splits, of which the first comes earlier, the positions in both of every
            content that they have in common.
        train: positions in training of what the test split has, too.
    """

    pairs: dict[tuple[str, str], list[tuple[int, int]]]
    train: list[int]


def copies_between(groups: Iterable[Sequence[tuple[str, int]]]) -> Copies:
    """Return what several splits have in common.

    A content in all three splits counts for training with validation, and for training with test.

    Args:
        groups: groups of places (split, position) that have the same content.
    """
    copies = Copies({}, [])
    for members in groups:
        by_split = {split: [row for s, row in members if s == split] for split in _ORDER}
        present = [split for split in _ORDER if by_split[split]]
        for later in present[1:]:
            pair = by_split[present[0]][0], by_split[later][0]
            copies.pairs.setdefault((present[0], later), []).append(pair)
        if by_split["test"]:
            copies.train.extend(by_split["train"])
    return copies


def _same(
    files: Mapping[str, Sequence[Path]], contents: FileContents
) -> dict[bytes, list[tuple[str, int]]]:
    """Return the places (split, position) of files by content, for content that two splits have."""
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
