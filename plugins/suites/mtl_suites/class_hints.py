"""Names of classes may be mistakes: two that look alike, one for no label, one for several."""

import re
import unicodedata
from collections.abc import Sequence

from .faults import listed
from .options import option

_UNKNOWN = frozenset(
    [
        *("unknown", "unk", "missing", "undefined", "unspecified", "not specified", "n.a.", "n.a"),
        *("not available", "not applicable", "no data", "tbd", "nil", "void", "blank"),
    ]
)
_SEPARATORS = "|;,/+&"
#: Usual names of a folder of pictures, and of the folder of their maps, which are no two classes.
_PAIRS = (
    frozenset(["images", "image", "imgs", "img", "photos", "pictures", "jpegimages"]),
    frozenset(["masks", "mask", "labels", "annotations", "segmentations", "segmentationclass"]),
)


def class_hints(task: str, names: Sequence[str]) -> list[str]:
    """Return lines that tell a user which classes of a task may be mistakes.

    Args:
        task: name of the task.
        names: names of its classes.
    """
    hints = [f"{task}: classes that look alike: {text}" for text in _alike(names)]
    for name in names:
        plain = name.strip().lower()
        if plain in _UNKNOWN or not any(letter.isalnum() for letter in name):
            way = option("missing", task, name)
            hints.append(f"{task}: class {name!r} may mean that there is no label: {way} says so")
    several = [name for name in names if _several(name, names)]
    if several:
        hints.append(
            f"{task}: class {several[0]!r} may be several labels: a column of 0 and 1 for each "
            "makes tasks of them"
        )
    return hints


def folder_hints(task: str, names: Sequence[str]) -> list[str]:
    """Return lines that tell a user which folders, taken for classes, may be mistakes.

    Args:
        task: name of the task.
        names: names of the folders.
    """
    hints = [f"{task}: classes that look alike: {text}" for text in _alike(names)]
    lower = {name.lower(): name for name in names}
    pictures, maps = ([lower[word] for word in sorted(words & set(lower))] for words in _PAIRS)
    if pictures and maps:
        hints.append(
            f"{task}: {pictures[0]!r} and {maps[0]!r} are taken for two classes; pictures and "
            "their maps are no such task"
        )
    return hints


def looks(name: str) -> str:
    """Return a text that is equal for names that look alike.

    Capitals, invisible letters and ways of coding a letter do not count, and blanks, ``_`` and
    ``-`` between words are the same: ``Golden_Retriever`` and ``golden retriever`` are equal.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    seen = (letter for letter in text if unicodedata.category(letter) != "Cf")
    return re.sub(r"(?<=\w)[\s_\-]+(?=\w)", " ", "".join(seen)).strip()


def _alike(names: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(looks(name), []).append(name)
    return [
        listed([name if name.isprintable() else ascii(name) for name in told_apart(group)])
        for group in groups.values()
        if len(group) > 1
    ]


def told_apart(names: Sequence[str]) -> list[str]:
    """Return names in quotes, with codes for letters if the names would be printed alike."""
    forms = {unicodedata.normalize("NFC", name) for name in names}
    same = len(forms) < len(names) or any(unicodedata.category(c) == "Cf" for n in names for c in n)
    return [ascii(name) if same else repr(name) for name in names]


def _several(name: str, names: Sequence[str]) -> bool:
    if re.fullmatch(r"[\[({].*,.*[\])}]", name):
        return True
    parts = [part.strip() for part in re.split(f"[{re.escape(_SEPARATORS)}]", name)]
    return len(parts) > 1 and all(parts) and any(part in names for part in parts)
