"""Arrays of a file are found by what they are for, which their names say."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from mtl_framework import MtlError, message_of
from mtl_framework.data import SPLIT_NAMES, SPLITS

from .array_names import INPUTS, LABELS, Meaning, is_about, meaning, without_split
from .array_sources import native, open_source
from .array_splits import AUTO, says_splits

#: Names under which arrays of a name are looked for; ``{split}`` stands for train, validation and
#: test, by any of their usual names.
PATTERNS = (
    "{task}_{name}",
    "{split}_{task}_{name}",
    "{task}_{split}_{name}",
    "{task}_{name}_{split}",
    "{split}_{name}",
    "{name}_{split}",
    "{name}",
)

_PACKED = "_packed"


@dataclass(frozen=True)
class Found:
    """This class holds the arrays that were looked for under one name.

    Attributes:
        what: what the arrays are called in messages, with their file.
        arrays: the array of every split, or under ``None`` one without a split in its name.
        of_task: whether the arrays belong to one task alone.
        names: name of every array, by split.
    """

    what: str
    arrays: dict[str | None, np.ndarray]
    of_task: bool = False
    names: Mapping[str | None, str] = field(default_factory=dict)

    def at(self, position: int) -> "Found":
        """Return what is at a position along axis 0 of every array."""
        parts = {split: array[position] for split, array in self.arrays.items()}
        return Found(f"{self.what} [{position}]", parts, names=self.names)


class ArrayFile:
    """An array file gives arrays by name, each of which is read when it is asked for.

    Args:
        path: path of the file, or of a folder that has a file for every split, see
            :mod:`.array_sources`.
        split: name of the array that names splits; ``auto`` if no user has said it, empty if there
            is none.

    Raises:
        MtlError: if the file cannot be read or is of another kind.
    """

    def __init__(self, path: Path, split: str = AUTO) -> None:
        self.path = path
        self.split = split
        self._source = open_source(path)
        self.names: list[str] = list(self._source.names)
        self.remarks: list[str] = list(self._source.remarks)
        self.first_row = self._source.first_row
        self._read: set[str] = set()

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.close()

    def read(self, name: str) -> np.ndarray:
        """Return the array of that name.

        ``NAME_packed`` holds bits, which become 0 and 255 in the shape that ``image_shape`` says.

        Raises:
            MtlError: if there is no such array, or it is damaged or would execute code.
        """
        if name not in self.names:
            raise MtlError(f"{self.path} has no array {name}; there are {', '.join(self.names)}")
        self._read.add(name)
        try:
            array: np.ndarray = native(self._source.get(name))
        except Exception as error:  # numpy parses headers with Python's own tokenizer
            if "allow_pickle" in str(error):
                raise MtlError(
                    f"{self.path}: array {name!r} holds objects of Python, which would execute "
                    "code when read: save texts with .astype(str), numbers with .astype(float)"
                ) from error
            reason = message_of(error)
            raise MtlError(f"{self.path}: array {name!r} cannot be read: {reason}") from error
        if not isinstance(array, np.ndarray):
            raise MtlError(f"{self.path}: {name!r} is not an array in numpy's format")
        if array.dtype.kind == "U":
            _check_texts(array, f"{self.path}: {name!r}")
        if name.endswith(_PACKED) and array.dtype == np.uint8 and array.ndim == 2:
            shape = tuple(int(n) for n in self.read("image_shape"))
            if 8 * array.shape[1] < int(np.prod(shape)):
                raise MtlError(
                    f"{self.path}: {name!r} has {8 * array.shape[1]} bits a row, too few for "
                    f"image_shape {shape}"
                )
            bits = np.unpackbits(array, axis=1, count=int(np.prod(shape)))
            return (bits * np.uint8(255)).reshape(-1, *shape)
        return array

    def find(self, names: Sequence[str], task: str | None = None) -> "Found":
        """Return the arrays of the first of several names that the file has.

        Args:
            names: names such as ``images``, which are looked for as :data:`PATTERNS` says, or
                patterns with ``{task}`` or ``{split}`` in them, e.g. ``noisy_{split}_Y``.
            task: name of a task whose own arrays are preferred; ``None`` looks for arrays of all
                tasks only.

        Raises:
            MtlError: if the file has none of them; the message lists what it has.
        """
        found = self.find_any(names, task)
        if found is None:
            of = f" of task {task!r}" if task is not None else ""
            unnamed = all(name.startswith("arr_") for name in self.names)
            hint = "; suite.inputs and suite.labels say which is which, e.g. suite.inputs=arr_0"
            raise MtlError(
                f"{self.path} has no array {' or '.join(names)}{of}; there are "
                f"{', '.join(self.names)}{hint if unnamed else ''}"
            )
        return found

    def find_any(self, names: Sequence[str], task: str | None = None) -> "Found | None":
        """Return the arrays that :meth:`find` does, but ``None`` if the file has none of them.

        If no array has one of the names ``images``, ``features`` or ``labels``, those with other
        usual names are taken, see :mod:`.array_names`.

        Raises:
            MtlError: if two arrays may be meant.
        """
        for name in names:
            for pattern in (name,) if "{" in name else PATTERNS:
                if "{task}" in pattern and task is None:
                    continue
                text = pattern.replace("{name}", name).replace("{task}", task or "")
                splits = SPLITS if "{split}" in text else (None,)
                keys = {split: self._present(_spellings(text, split)) for split in splits}
                if any(keys.values()):
                    return self._found(keys, names, "{task}" in pattern)
        role = "labels" if names[0] == LABELS else "images" if names[0] in INPUTS else ""
        for owner in ([task] if task else []) + [""]:
            keys = {}
            for key, told in self.meanings():
                if told.role == role and told.task == owner:
                    keys.setdefault(told.split, []).append(key)
            if set(keys) > {None}:
                keys.pop(None, None)  # an array beside those of splits serves another purpose
            if keys:
                order = {split: keys[split] for split in (None, *SPLITS) if split in keys}
                return self._found(order, names, bool(owner))
        return None

    def meanings(self, words: Sequence[str] = ()) -> Iterator[tuple[str, Meaning]]:
        """Yield the names of arrays that are inputs or labels, with what each name says."""
        for key in self.names:
            told = meaning(key, words)
            if told is not None:
                yield key, told

    def columns(self, found: "Found") -> list[str]:
        """Return the names, without splits, of arrays that have an entry for every input.

        Arrays that have been read are left out.
        """
        lengths = {split: len(array) for split, array in found.arrays.items()}
        names = dict.fromkeys(
            without_split(key)
            for key in self.unread()
            if not is_about(key) and not says_splits(self, key)
        )
        fitting = []
        for name in names:
            keys = {split: self._present(_with_split(name, split)) for split in lengths}
            if all(
                present and self._length(present[0]) == lengths[split]
                for split, present in keys.items()
            ):
                fitting.append(name)
        return fitting

    def unread(self) -> list[str]:
        """Return the names of the arrays that have not been read."""
        return [name for name in self.names if name not in self._read]

    def peek(self, name: str) -> np.ndarray | None:
        """Return an array without counting it as read, or ``None`` if it cannot be read."""
        try:
            array = self._source.get(name)
        except Exception:  # read() says why, where it is used
            return None
        return array if isinstance(array, np.ndarray) else None

    def _length(self, key: str) -> int | None:
        """Return the number of entries of an array of one or two axes; ``None`` for others."""
        array = self.peek(key)
        return len(array) if array is not None and array.ndim in (1, 2) else None

    def _present(self, keys: Sequence[str]) -> list[str]:
        return [key for key in dict.fromkeys(keys) if key in self.names]

    def _found(
        self, keys: dict[str | None, list[str]], names: Sequence[str], of_task: bool
    ) -> "Found":
        keys = {split: present for split, present in keys.items() if present}
        for present in keys.values():
            if len(present) > 1:
                option = "labels" if names[0] == LABELS else "inputs"
                raise MtlError(
                    f"{self.path}: {' and '.join(present)} may both be the {names[0]}; say which "
                    f"is meant with suite.{option}"
                )
        arrays = {split: self.read(present[0]) for split, present in keys.items()}
        called = {split: present[0] for split, present in keys.items()}
        what = f"{self.path}: {', '.join(called.values())}"
        return Found(what, arrays, of_task, called)

    def texts(self, name: str) -> list[str]:
        """Return an array of texts, e.g. names of classes; empty if there is none of that name."""
        if name not in self.names:
            return []
        array = self.read(name)
        if array.ndim != 1:
            raise MtlError(
                f"{self.path}: array {name!r} should have shape (N,), found {array.shape}"
            )
        return [str(text) for text in array.astype(str)]

    def owners(self, names: Sequence[str]) -> list[str]:
        """Return the tasks that have inputs of their own, such as ``TASK_images``.

        Args:
            names: names of inputs; :data:`INPUTS` stands for all usual names.

        Returns:
            names of the tasks, in the order of the file.
        """
        words = () if tuple(names) == INPUTS else names
        labelled = {told.task for _, told in self.meanings() if told.role == "labels"}
        tasks = [
            told.task
            for key, told in self.meanings(words)
            if told.role == "images" and (told.last or told.task in labelled)
        ]
        return [task for task in dict.fromkeys(tasks) if task]


def _spellings(text: str, split: str | None) -> list[str]:
    """Return a pattern with all names of a split in place, in three ways of writing each.

    For the split test these are ``test``, ``TEST``, ``Test``, ``testing`` and so on.
    """
    if split is None:
        return [text]
    words = [word for word, meant in SPLIT_NAMES.items() if meant == split]
    spelled = [form for word in words for form in (word, word.upper(), word.capitalize())]
    return [text.replace("{split}", form) for form in spelled]


def _with_split(name: str, split: str | None) -> list[str]:
    if split is None:
        return [name]
    return _spellings(f"{{split}}_{name}", split) + _spellings(f"{name}_{{split}}", split)


def _check_texts(array: np.ndarray, what: str) -> None:
    """Refuse texts with numbers of characters that do not exist, which Python cannot hold."""
    native = array.astype(array.dtype.newbyteorder("="))
    codes = np.frombuffer(native.tobytes(), np.uint32)
    if codes.size and int(codes.max()) > sys.maxunicode:
        raise MtlError(f"{what} holds characters that do not exist")
