"""Nested state is saved as safetensors (tensors) and JSON (the rest); loading executes nothing.

A checkpoint is a pair of files, ``<stem>.safetensors`` and ``<stem>.json``. The second is written
last and carries the digests of both: it is the commit point, and without it there is no checkpoint.

Two checkpoints written at the same time store common tensors once: the second names the tensor
file of the first and its digest (``base``). Large tensors of zeros, such as moments of weights that
have had no gradient yet, are written as their shape.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ..support.errors import MtlError
from ..support.files import (
    make_folder,
    names_in,
    read_bytes,
    remove,
    remove_quietly,
    replacing,
    write_text,
)
from .packing import Packer, TensorKey, unpack

FORMAT = "mtl-framework checkpoint 1"
_HEAD, _MIDDLE, _TAIL = '{"sha256": "', '", "body": ', "}\n"
_STEM = re.compile(r"[a-z]+-\d{1,18}")
_FILE = re.compile(r"\.?(?P<kind>[a-z]+)-(?P<iteration>\d{1,18})\.(json|safetensors)(\.tmp)?")


@dataclass(frozen=True)
class Saved:
    """This is a checkpoint just written, which the next one may refer to.

    It is valid only while none of its tensors has changed.

    Args:
        stem: path of its files without suffix.
        digest: SHA-256 of its tensor file.
        names: name of every tensor in that file.
    """

    stem: Path
    digest: str
    names: Mapping[TensorKey, str]


def save_state(stem: Path, state: Mapping[Any, Any], base: Saved | None = None) -> Saved:
    """Write nested state as ``<stem>.safetensors`` and ``<stem>.json``.

    Args:
        stem: path without suffix; its folder exists.
        state: dicts (keys str or int), lists and tuples of tensors, ints, floats, bools, strings
            and None. Other mappings are saved as dicts. A tensor that occurs several times is
            stored once and comes back as one tensor; views that only overlap come back apart.
        base: the checkpoint written just before, in the same folder; its tensors are not repeated.

    Raises:
        MtlError: naming the entry that cannot be saved, before anything is written; or the file
            that cannot be written.
    """
    packer = Packer(base.names if base is not None else {})
    tree = packer.pack(state, "")
    tensor_file, json_file = files_of(stem)
    remove(json_file)  # a pair of this name stops being one before it changes
    with replacing(tensor_file) as temp:
        try:
            safetensors.torch.save_file(packer.tensors, temp)
        except SafetensorError as error:
            raise MtlError(f"cannot write {tensor_file}: {error}") from error
        with temp.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    content: dict[str, Any] = {"format": FORMAT, "tensors": digest, "state": tree}
    if base is not None:
        content["base"] = {"stem": base.stem.name, "tensors": base.digest}
    body = json.dumps(content, allow_nan=False)
    write_text(json_file, f"{_HEAD}{_digest(body)}{_MIDDLE}{body}{_TAIL}")
    return Saved(stem, digest, packer.names)


def load_state(stem: Path) -> dict[Any, Any]:
    """Read what :func:`save_state` wrote; tensors are on the CPU.

    Raises:
        MtlError: naming the file that is missing, cut short, damaged or not a checkpoint's.
    """
    tensor_file, json_file = files_of(stem)
    body = _read_body(json_file)
    tensors = _read_tensors(tensor_file, body.get("tensors"))
    base = body.get("base")
    shared: dict[str, Tensor] = {}
    if base is not None:
        match base:
            case {"stem": str(name), "tensors": str(digest)} if _STEM.fullmatch(name):
                shared = _read_tensors(files_of(stem.with_name(name))[0], digest)
            case _:
                raise _damaged(json_file, "its base is not the name of a checkpoint with a digest")
    try:
        state = unpack(body.get("state"), {"tensor": tensors, "shared": shared})
    except (ValueError, RecursionError) as error:
        raise _damaged(json_file, str(error)) from error
    if not isinstance(state, dict):
        raise _damaged(json_file, "it holds no state")
    return state


def _read_tensors(file: Path, digest: Any) -> dict[str, Tensor]:
    data = _read(file)
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged(file, "its content does not match its digest")
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise _damaged(file, str(error)) from error


class Checkpoints:
    """Checkpoints lie in a run's folder, each named by its kind and iteration.

    Args:
        directory: the folder of pairs of files such as ``last-00000200.json`` and
            ``last-00000200.safetensors``; it is made with the first checkpoint.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def stem(self, kind: str, iteration: int) -> Path:
        """Return the path of a checkpoint without its suffixes."""
        return self.directory / f"{kind}-{iteration:08d}"

    def latest(self, kind: str) -> int | None:
        """Return the iteration of a kind's newest complete checkpoint; ``None``: there is none.

        Raises:
            MtlError: if the folder cannot be read.
        """
        matches = map(_FILE.fullmatch, names_in(self.directory))
        iterations = [
            int(match["iteration"])
            for match in matches
            if match is not None and match[0] == f"{kind}-{match['iteration']}.json"
        ]
        return max(iterations, default=None)

    def save(
        self, kind: str, iteration: int, state: Mapping[Any, Any], base: Saved | None = None
    ) -> Saved:
        """Write a checkpoint; older ones stay until :meth:`keep_only`.

        Raises:
            MtlError: on the same problems as :func:`save_state`.
        """
        make_folder(self.directory)
        return save_state(self.stem(kind, iteration), state, base)

    def load(self, kind: str, iteration: int) -> dict[Any, Any]:
        """Read a checkpoint.

        Raises:
            MtlError: on the same problems as :func:`load_state`.
        """
        return load_state(self.stem(kind, iteration))

    def keep_only(self, kept: Collection[tuple[str, int]]) -> None:
        """Remove all checkpoints but those kept, and remains of interrupted writes.

        Other files stay. A file that cannot be removed stays, too, which does no harm.
        """
        try:
            names = names_in(self.directory)
        except MtlError:
            return
        # JSON comes first in this order: a pair is no checkpoint any more before it is incomplete
        for name in sorted(names, key=lambda name: not name.endswith(".json")):
            match = _FILE.fullmatch(name)
            if match is None:
                continue
            is_kept = (match["kind"], int(match["iteration"])) in kept
            if name.endswith(".tmp") or not is_kept:
                remove_quietly(self.directory / name)


def _read_body(file: Path) -> dict[str, Any]:
    raw = _read(file)
    try:
        text = raw.decode()
        start = len(_HEAD) + 64 + len(_MIDDLE)
        digest, body = text[len(_HEAD) : start - len(_MIDDLE)], text[start : -len(_TAIL)]
        if text != f"{_HEAD}{digest}{_MIDDLE}{body}{_TAIL}":
            raise _damaged(file, "it is no checkpoint's file, or was cut short")
        if digest != _digest(body):
            raise _damaged(file, "its content does not match its digest")
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _damaged(file, f"its format is not {FORMAT!r}")
    return content


def _read(file: Path) -> bytes:
    try:
        return read_bytes(file)
    except MtlError as error:
        raise MtlError(
            f"{error}; put it back from a copy, or start again in another folder"
        ) from error


def _damaged(file: Path, reason: str) -> MtlError:
    return MtlError(
        f"checkpoint file {file} is damaged: {' '.join(reason.split())}; put it back from a copy, "
        "or start again in another folder"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files_of(stem: Path) -> tuple[Path, Path]:
    """Return the two files of a checkpoint: that of the tensors, and that of the rest."""
    return stem.with_name(f"{stem.name}.safetensors"), stem.with_name(f"{stem.name}.json")
