"""The name of an array says whether it holds inputs or labels, of which split and which task."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mtl_framework.data import SPLIT_NAMES, known_split

#: Names of inputs in files that others distribute, in small letters.
INPUT_WORDS = frozenset(
    [
        *("images", "image", "imgs", "img", "pictures", "pixels", "x", "xs", "data"),
        *("inputs", "input", "features", "feats", "embeddings"),
    ]
)
#: Names of labels in files that others distribute, in small letters.
LABEL_WORDS = frozenset(["labels", "label", "lbls", "y", "ys", "targets", "target"])
#: Names of images, features and labels that are looked for where the user gives none.
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
_TWO_WORDS = re.compile(r"(?i)(?<![a-z])(hold|held)[_\-. ]+(out)(?![a-z])")
# xtrain, Xtr and trainX, with nothing between
_GLUED = re.compile(rf"([xy])({_SPLITS})|({_SPLITS})([xy])")


@dataclass(frozen=True)
class Meaning:
    """This class holds what the name of an array says.

    Args:
        role: ``images``, which stands for features, too, or ``labels``.
        split: train, validation or test; ``None`` if the name does not say.
        task: name of the task that the array belongs to; empty if it belongs to all tasks.
        last: whether the role stands behind the task, as in ``TASK_images``.
    """

    role: str
    split: str | None
    task: str
    last: bool


def meaning(key: str, words: Sequence[str] = ()) -> Meaning | None:
    """Return what an array's name says, or ``None`` if it names neither inputs nor labels.

    A word for inputs or labels stands first or last in a name, and a word for a split beside it or
    first. What is left of the name is the task: ``GREEK_val_y`` has labels of the task GREEK for
    validation; ``x_train`` and ``train_images`` have inputs of all tasks for training.

    Args:
        key: the array's name.
        words: words for inputs that the user gives; without any, :data:`INPUT_WORDS` are taken.
    """
    text = _as_said(key.removesuffix("_packed"), [word.removesuffix("_packed") for word in words])
    parts = name_parts(text)
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


def name_parts(name: str) -> list[str]:
    """Return the words of an array's or file's name, of which ``hold_out`` is one."""
    return [part for part in _BETWEEN.split(as_one_word(name)) if part]


def as_one_word(name: str) -> str:
    """Return a name with ``holdout`` for ``hold_out``, which names one split."""
    return _TWO_WORDS.sub(r"\1\2", name)


def split_of(stem: str) -> str | None:
    """Return the split in a file's name without suffix; ``None`` if it names none or several."""
    parts = name_parts(stem)
    found = {split for part in parts if (split := known_split(part))}
    return found.pop() if len(found) == 1 else None


def without_split(key: str) -> str:
    """Return a name without the word for a split at its ends: ``age`` for ``train_age``."""
    for match in (re.match(r"([A-Za-z]+)[_\-. ]+", key), re.search(r"[_\-. ]+([A-Za-z]+)$", key)):
        if match and known_split(match[1]):
            return key[: match.start()] + key[match.end() :]
    return key


def is_about(key: str) -> bool:
    """Say whether an array describes other arrays, as ``label_names`` and ``split`` do."""
    return _BETWEEN.split(key)[-1].lower() in _ABOUT


def _as_said(key: str, words: Sequence[str]) -> str:
    """Return the key with a NUL in place of a user's own word for inputs.

    Such a word may have several parts; with the word ``my_x``, ``train_my_x`` gives ``train_NUL``.
    """
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
    """Return the split and the task among the words before and behind the role.

    A word for a split stands next to the role or at an end. Before ``images``, ``[GREEK, train]``
    gives ``(train, GREEK)``.
    """
    rest = before + behind
    for place in (len(before) - 1, len(before), 0, len(rest) - 1):
        if 0 <= place < len(rest) and (split := known_split(rest[place])):
            return split, "_".join(rest[:place] + rest[place + 1 :])
    return None, "_".join(rest)
