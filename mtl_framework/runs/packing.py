"""Nested state is packed into a tree for JSON and a flat dictionary of tensors, and unpacked.

JSON's own numbers, strings, booleans, null and lists stand for themselves; an object with one key
stands for anything else: dict (as pairs, so that keys may be ints), tuple, float, and three kinds
of tensors: ``tensor`` (by its name in the checkpoint's own tensor file), ``shared`` (by its name in
another checkpoint's), ``zeros`` (name, shape and dtype of one that holds nothing but zeros).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..support.errors import MtlError

#: What tells whether two tensor objects are one tensor: memory, device, view and dtype.
TensorKey = tuple[object, ...]
_FEWEST_ZEROS = 1024  # smaller tensors are not worth a look
_MOST_ZEROS = 2**40


class Packer:
    """A packer turns nested state into a tree and tensors.

    Args:
        shared: names of tensors that another file holds already.
    """

    def __init__(self, shared: Mapping[TensorKey, str]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[TensorKey, str] = {}
        self._shared = shared
        self._zeros: dict[TensorKey, list[Any]] = {}
        self._taken: set[str] = set()
        self._storages: set[int] = set()

    def pack(self, value: Any, where: str) -> Any:
        """Return the tree of a value; its tensors go to ``tensors``.

        Raises:
            MtlError: naming the entry that cannot be saved.
        """
        if isinstance(value, Tensor):
            return self._tensor(value, where)
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

    def _tensor(self, tensor: Tensor, where: str) -> dict[str, Any]:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = tensor.dtype if tensor.layout == torch.strided else tensor.layout
            raise MtlError(f"state {where} cannot be saved: tensors of {kind} are not supported")
        key = (
            tensor.untyped_storage().data_ptr(), tensor.device, tensor.storage_offset(),
            tensor.shape, tensor.stride(), tensor.dtype,
        )  # fmt: skip
        if tensor.numel():
            if key in self._shared:
                return {"shared": self._shared[key]}
            if key in self.names:
                return {"tensor": self.names[key]}
            if key in self._zeros:
                return {"zeros": self._zeros[key]}
        # the file format's own rules: UTF-8 names, none twice
        name = where.encode("ascii", "backslashreplace").decode()
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        if tensor.numel() >= _FEWEST_ZEROS and _all_zero(tensor.detach()):
            dtype = str(tensor.dtype).removeprefix("torch.")
            self._zeros[key] = [name, list(tensor.shape), dtype]
            return {"zeros": self._zeros[key]}
        own = tensor.detach().to("cpu").contiguous()
        if own.untyped_storage().data_ptr() in self._storages:
            own = own.clone()
        self._storages.add(own.untyped_storage().data_ptr())
        self.tensors[name] = own
        self.names[key] = name
        return {"tensor": name}


def unpack(node: Any, tensors: Mapping[str, Mapping[str, Tensor]]) -> Any:
    """Return the value of a tree.

    Args:
        node: a node of the tree.
        tensors: the tensors of the two files, under ``"tensor"`` and ``"shared"``.

    Raises:
        ValueError: if the tree holds something that :class:`Packer` does not write.
    """
    return _Unpacker(tensors).value(node)


class _Unpacker:
    def __init__(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self._files = tensors
        self._zeros: dict[str, Tensor] = {}

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        match node:
            case {"dict": list(pairs)} if all(
                isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str | int)
                for pair in pairs
            ):
                return {key: self.value(item) for key, item in pairs}
            case {"tuple": list(items)}:
                return tuple(self.value(item) for item in items)
            case {"float": ("nan" | "inf" | "-inf") as text}:
                return float(text)
            case {"tensor": str(name)} if name in self._files["tensor"]:
                return self._files["tensor"][name]
            case {"shared": str(name)} if name in self._files["shared"]:
                return self._files["shared"][name]
            case {"zeros": [str(name), list(shape), str(dtype)]}:
                return self._zero(name, shape, dtype)
        raise ValueError(f"it holds the entry {str(node)[:60]}")

    def _zero(self, name: str, shape: list[Any], dtype: str) -> Tensor:
        if name not in self._zeros:
            kind = getattr(torch, dtype, None)
            sizes = [n for n in shape if isinstance(n, int) and 0 <= n < _MOST_ZEROS]
            if len(sizes) != len(shape) or math.prod(sizes) > _MOST_ZEROS:
                raise ValueError(f"it holds zeros of shape {str(shape)[:60]}")
            if not isinstance(kind, torch.dtype):
                raise ValueError(f"it holds zeros of {dtype[:60]!r}")
            try:
                self._zeros[name] = torch.zeros(sizes, dtype=kind)
            except RuntimeError as error:  # more than there is memory
                raise ValueError(f"it holds zeros of shape {str(shape)[:60]}") from error
        return self._zeros[name]


def _all_zero(tensor: Tensor) -> bool:
    """Say whether every number is zero, and none is a negative zero."""
    if bool(tensor[(0,) * tensor.ndim]) or bool(tensor.any()):
        return False
    return not (tensor.is_floating_point() and bool(torch.signbit(tensor).any()))
