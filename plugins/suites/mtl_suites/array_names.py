"""What an array of a file is for, by its name: inputs or labels, of which split and which task."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mtl_framework.data import SPLIT_NAMES, known_split

#: What inputs are called in files that others distribute, in small letters.
INPUT_WORDS = frozenset(
    [
        *("images", "image", "imgs", "img", "pictures", "pixels", "x", "xs", "data"),
        *("inputs", "input", "features", "feats", "embeddings"),
    ]
)
#: What labels are called there.
LABEL_WORDS = frozenset(["labels", "label", "lbls", "y", "ys", "targets", "target"])
#: Where images, features and labels are looked for where nobody says how they are called.
INPUTS = ("images", "images_packed", "features")
LABELS = "labels"

# Ends of names that say something about inputs or labels, and are neither
_ABOUT = frozenset(
    [
        *("names", "name", "shape", "split", "splits", "id", "ids", "index", "idx"),
        *("paths", "files", "mean", "std"),
    ]
)
_BETWEEN = re.compile(r"[_\-. ]+")
_SPLITS = "|".join(sorted(SPLIT_NAMES, key=len, reverse=True))
# xtrain, Xtr and trainX, with nothing between
_GLUED = re.compile(rf"([xy])({_SPLITS})|({_SPLITS})([xy])")


@dataclass(frozen=True)
class Meaning:
    """What the name of an array says.

    Args:
        role: ``images`` (or features) or ``labels``.
        split: train, validation or test; ``None``: the name says none.
        task: whose array it is; empty: every task's.
        last: whether the role stands behind the task, as in ``TASK_images``.
    """

    role: str
    split: str | None
    task: str
    last: bool


def meaning(key: str, words: Sequence[str] = ()) -> Meaning | None:
    """What an array's name says; ``None``: neither inputs nor labels.

    A word for inputs or labels stands first or last, one for a split before or behind it, or
    first; what is left is the task: ``x_train``, ``train_images``, ``GREEK_val_y``.

    Args:
        key: the array's name.
        words: for inputs, as the user says; none: :data:`INPUT_WORDS`.
    """
    text = _as_said(key.removesuffix("_packed"), [word.removesuffix("_packed") for word in words])
    parts = [part for part in _BETWEEN.split(text) if part]
    glued = [_GLUED.fullmatch(part.lower()) for part in parts]
    for position in reversed(range(len(parts))):
        if match := glued[position]:
            role, split = match[1] or match[4], match[2] or match[3]
            parts[position : position + 1] = [split, role]
            break
    if not parts or is_about(key):
        return None
    for position in dict.fromkeys([len(parts) - 1, 0, len(parts) - 2, 1]):
        role = _role(parts[position], bool(words)) if 0 <= position < len(parts) else ""
        before, behind = parts[:position], parts[position + 1 :]
        at_start = not before or (len(before) == 1 and known_split(before[0]))
        at_end = not behind or (len(behind) == 1 and known_split(behind[0]))
        if role and (at_start or at_end):
            split, task = _split_off(before, behind)
            return Meaning(role, split, task, bool(at_end))
    return None


def split_of(stem: str) -> str | None:
    """The split that the name of a file says, without its suffix; ``None``: none, or several."""
    parts = _BETWEEN.split(stem)
    found = {split for part in parts if (split := known_split(part))}
    return found.pop() if len(found) == 1 else None


def without_split(key: str) -> str:
    """A name without the word for a split at its beginning or end, e.g. ``train_age``: ``age``."""
    for match in (re.match(r"([A-Za-z]+)[_\-. ]+", key), re.search(r"[_\-. ]+([A-Za-z]+)$", key)):
        if match and known_split(match[1]):
            return key[: match.start()] + key[match.end() :]
    return key


def is_about(key: str) -> bool:
    """Whether a name says that the array is about others, as ``label_names`` and ``split`` do."""
    return _BETWEEN.split(key)[-1].lower() in _ABOUT


def _as_said(key: str, words: Sequence[str]) -> str:
    """The key with a user's own word for inputs, which may have parts, as one."""
    for word in sorted(words, key=len, reverse=True):
        match = re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", key)
        if match:
            return f"{key[: match.start()]}\0{key[match.end() :]}"
    return key


def _role(part: str, own_words: bool) -> str:
    if part == "\0" or (not own_words and part.lower() in INPUT_WORDS):
        return "images"
    return "labels" if part.lower() in LABEL_WORDS else ""


def _split_off(before: list[str], behind: list[str]) -> tuple[str | None, str]:
    """The split among what stands around the role: next to it, or at an end; and the task."""
    rest = before + behind
    for place in (len(before) - 1, len(before), 0, len(rest) - 1):
        if 0 <= place < len(rest) and (split := known_split(rest[place])):
            return split, "_".join(rest[:place] + rest[place + 1 :])
    return None, "_".join(rest)
