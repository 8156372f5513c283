"""Names of classes that may be mistakes: two that look alike, no label at all, several in one."""

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
#: Folders that hold maps to be predicted and pictures beside them, not examples of two classes.
_PAIRS = (
    frozenset(["images", "image", "imgs", "img", "photos", "pictures", "jpegimages"]),
    frozenset(["masks", "mask", "labels", "annotations", "segmentations", "segmentationclass"]),
)


def class_hints(task: str, names: Sequence[str]) -> list[str]:
    """What a user should know of the classes of a task, one line each; nothing is changed.

    Args:
        task: its name.
        names: of its classes.
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
    """Like :func:`class_hints`, of folders that are taken for classes."""
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
    """What a name looks like: without capitals, blanks, invisible letters and ways of coding."""
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
    """Names in quotes; by their codes where they would be printed alike."""
    forms = {unicodedata.normalize("NFC", name) for name in names}
    same = len(forms) < len(names) or any(unicodedata.category(c) == "Cf" for n in names for c in n)
    return [ascii(name) if same else repr(name) for name in names]


def _several(name: str, names: Sequence[str]) -> bool:
    if re.fullmatch(r"[\[({].*,.*[\])}]", name):
        return True
    parts = [part.strip() for part in re.split(f"[{re.escape(_SEPARATORS)}]", name)]
    return len(parts) > 1 and all(parts) and any(part in names for part in parts)
