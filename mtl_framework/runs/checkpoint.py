"""Nested state on disk: tensors as safetensors, the rest as JSON; loading executes nothing.

A checkpoint is a pair of files, ``<stem>.safetensors`` and ``<stem>.json``. The second is written
last and carries the digests of both: it is the commit point, and without it there is no checkpoint.
"""

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..support.errors import MtlError
from ..support.files import replacing, sync_directory, write_text

FORMAT = "mtl-framework checkpoint 1"
_HEAD, _MIDDLE, _TAIL = '{"sha256": "', '", "body": ', "}\n"
_FILE = re.compile(r"\.?(?P<kind>[a-z]+)-(?P<iteration>\d+)\.(json|safetensors)(\.tmp)?")


def save_state(stem: Path, state: Mapping[Any, Any]) -> None:
    """Write nested state as ``<stem>.safetensors`` and ``<stem>.json``.

    Args:
        stem: path without suffix; its folder exists.
        state: dicts (keys str or int), lists and tuples of tensors, ints, floats, bools, strings
            and None. Other mappings are saved as dicts. A tensor that occurs several times is
            stored once and comes back as one tensor; views that only overlap come back apart.

    Raises:
        MtlError: naming the entry that cannot be saved, before anything is written; or the file
            that cannot be written.
    """
    packer = _Packer()
    tree = packer.pack(state, "")
    tensor_file, json_file = _files(stem)
    json_file.unlink(missing_ok=True)  # a pair of this name stops being one before it changes
    with replacing(tensor_file) as temp:
        try:
            safetensors.torch.save_file(packer.tensors, temp)
        except SafetensorError as error:
            raise MtlError(f"cannot write {tensor_file}: {error}") from error
        with temp.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    body = json.dumps({"format": FORMAT, "tensors": digest, "state": tree}, allow_nan=False)
    write_text(json_file, f"{_HEAD}{_digest(body)}{_MIDDLE}{body}{_TAIL}")


def load_state(stem: Path) -> dict[Any, Any]:
    """Read what :func:`save_state` wrote; tensors are on the CPU.

    Raises:
        MtlError: naming the file that is missing, cut short, damaged or not a checkpoint's.
    """
    tensor_file, json_file = _files(stem)
    body = _read_body(json_file)
    data = _read(tensor_file)
    if hashlib.sha256(data).hexdigest() != body.get("tensors"):
        raise _damaged(tensor_file, "its content does not match its digest")
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise _damaged(tensor_file, str(error)) from error
    state = _unpack(body.get("state"), tensors, json_file)
    if not isinstance(state, dict):
        raise _damaged(json_file, "it holds no state")
    return state


class Checkpoints:
    """The checkpoints in a run's folder, named by kind and iteration.

    Args:
        directory: holds pairs of files such as ``last-00000200.json`` and ``.safetensors``. It is
            made with the first checkpoint.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def stem(self, kind: str, iteration: int) -> Path:
        """Path of a checkpoint without its suffixes."""
        return self.directory / f"{kind}-{iteration:08d}"

    def latest(self, kind: str) -> int | None:
        """Iteration of the newest complete checkpoint of a kind, if there is one."""
        found = [
            int(match["iteration"])
            for path in self.directory.glob(f"{kind}-*.json")
            if (match := _FILE.fullmatch(path.name))
        ]
        return max(found, default=None)

    def save(self, kind: str, iteration: int, state: Mapping[Any, Any]) -> None:
        """Write a checkpoint; older ones stay until :meth:`keep_only`.

        Raises:
            MtlError: as :func:`save_state`.
        """
        try:
            self.directory.mkdir(exist_ok=True)
        except OSError as error:
            raise MtlError(f"cannot make folder {self.directory}: {error.strerror}") from error
        save_state(self.stem(kind, iteration), state)

    def load(self, kind: str, iteration: int) -> dict[Any, Any]:
        """Read a checkpoint.

        Raises:
            MtlError: as :func:`load_state`.
        """
        return load_state(self.stem(kind, iteration))

    def keep_only(self, kept: Collection[tuple[str, int]]) -> None:
        """Remove all other checkpoints and what interrupted writes left; other files stay."""
        if not self.directory.is_dir():
            return
        # JSON comes first in this order: a pair is no checkpoint any more before it is incomplete
        for path in sorted(self.directory.iterdir(), key=lambda path: path.suffix != ".json"):
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            is_kept = (match["kind"], int(match["iteration"])) in kept
            if path.suffix == ".tmp" or not is_kept:
                path.unlink()
        sync_directory(self.directory)


class _Packer:
    """Turns nested state into a JSON tree and a flat dictionary of tensors.

    JSON's own numbers, strings, booleans, null and lists stand for themselves; an object with one
    key stands for anything else: dict (as pairs, so that keys may be ints), tuple, tensor, float.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[object, ...], str] = {}
        self._storages: set[int] = set()

    def pack(self, value: Any, where: str) -> Any:
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, where)}
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str | int) or isinstance(key, bool):
                    raise MtlError(
                        f"state {where or '/'} cannot be saved: key {key!r} is neither str nor int"
                    )
            pairs = [[key, self.pack(item, f"{where}/{key}")] for key, item in value.items()]
            return {"dict": pairs}
        if isinstance(value, list | tuple):
            items = [self.pack(item, f"{where}/{n}") for n, item in enumerate(value)]
            return {"tuple": items} if isinstance(value, tuple) else items
        if type(value) is float and not math.isfinite(value):
            return {"float": repr(value)}
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise MtlError(
            f"state {where or '/'} cannot be saved: found {type(value).__name__}, allowed are "
            "tensors, numbers, strings, None and dicts, lists and tuples of them"
        )

    def _tensor(self, tensor: Tensor, where: str) -> str:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = tensor.dtype if tensor.layout == torch.strided else tensor.layout
            raise MtlError(f"state {where} cannot be saved: tensors of {kind} are not supported")
        storage = tensor.untyped_storage().data_ptr()
        key = (
            storage, tensor.device, tensor.storage_offset(),
            tensor.shape, tensor.stride(), tensor.dtype,
        )  # fmt: skip
        if tensor.numel() and key in self._names:
            return self._names[key]
        # the file format's own rules: UTF-8 names, none twice
        name = where.encode("ascii", "backslashreplace").decode()
        while name in self.tensors:
            name += "'"
        own = tensor.detach().to("cpu").contiguous()
        if own.untyped_storage().data_ptr() in self._storages:
            own = own.clone()
        self._storages.add(own.untyped_storage().data_ptr())
        self.tensors[name] = own
        self._names[key] = name
        return name


def _unpack(node: Any, tensors: Mapping[str, Tensor], file: Path) -> Any:
    if isinstance(node, list):
        return [_unpack(item, tensors, file) for item in node]
    if not isinstance(node, dict):
        return node
    match node:
        case {"dict": list(pairs)} if all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str | int)
            for pair in pairs
        ):
            return {key: _unpack(item, tensors, file) for key, item in pairs}
        case {"tuple": list(items)}:
            return tuple(_unpack(item, tensors, file) for item in items)
        case {"float": ("nan" | "inf" | "-inf") as text}:
            return float(text)
        case {"tensor": str(name)} if name in tensors:
            return tensors[name]
    raise _damaged(file, f"it holds the entry {str(node)[:60]}")


def _read_body(file: Path) -> dict[str, Any]:
    raw = _read(file)
    try:
        text = raw.decode()
        start = len(_HEAD) + 64 + len(_MIDDLE)
        digest, body = text[len(_HEAD) : start - len(_MIDDLE)], text[start : -len(_TAIL)]
        if text != f"{_HEAD}{digest}{_MIDDLE}{body}{_TAIL}":
            raise _damaged(file, "it is not, or not all of, a checkpoint's file")
        if digest != _digest(body):
            raise _damaged(file, "its content does not match its digest")
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise _damaged(file, f"its format is not {FORMAT!r}")
    return found


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MtlError(
            f"cannot read checkpoint file {file}: {error.strerror}; put it back from a copy, or "
            "start again in another folder"
        ) from error


def _damaged(file: Path, reason: str) -> MtlError:
    return MtlError(
        f"checkpoint file {file} is damaged: {' '.join(reason.split())}; put it back from a copy, "
        "or start again in another folder"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _files(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}.safetensors"), stem.with_name(f"{stem.name}.json")
