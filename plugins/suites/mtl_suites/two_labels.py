"""One picture may have two labels, of which one at least is wrong."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .file_contents import FileContents
from .options import counted


def two_labels(
    task: str,
    files: Sequence[Path],
    names: Sequence[str],
    labels: Iterable[Any],
    contents: FileContents,
) -> list[str]:
    """Return a line on pictures of a task that have two labels, in one split or in several.

    Pictures are the same if their pixels are, whatever their files; only files whose pixels have
    been read are compared.

    Args:
        task: name of the task.
        files: the labelled files, in any number of splits.
        names: what every file is called in messages.
        labels: label of every file.
        contents: digests of pixels.
    """
    first: dict[bytes, tuple[str, str]] = {}
    pairs: dict[bytes, tuple[tuple[str, str], tuple[str, str]]] = {}
    for path, name, label in zip(files, names, labels, strict=True):
        pixels = contents.pixels.get(path)
        if pixels is None:
            continue
        before = first.setdefault(pixels, (name, str(label)))
        if before[1] != str(label):
            pairs.setdefault(pixels, (before, (name, str(label))))
    if not pairs:
        return []
    (one, its_label), (other, other_label) = next(iter(pairs.values()))
    return [
        f"{task}: {counted(len(pairs), 'picture')} {'has' if len(pairs) == 1 else 'have'} two "
        f"labels, e.g. {one} is {its_label!r} and {other} is {other_label!r}"
    ]
