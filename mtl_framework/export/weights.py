"""Tensors are written to safetensors files, and read with a check of the digest."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..backbones.recurrent import stateless
from ..support.errors import MtlError, message_of
from .about import damaged


def content_key(tensor: Tensor) -> str:
    """Return a key that is equal for tensors of equal type, shape and values, bit by bit."""
    own = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{own.dtype} {tuple(own.shape)} ".encode())
    digest.update(own.reshape(-1).view(torch.uint8).numpy().data if own.numel() else b"")
    return digest.hexdigest()


def write_weights(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file.

    Raises:
        OSError: if the file cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        safetensors.torch.save_file(plain, file)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def read_weights(file: Path, digest: str) -> dict[str, Tensor]:
    """Read all tensors of a file whose digest is known.

    Raises:
        MtlError: naming the file if it is missing or has another digest.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MtlError(f"cannot read {file}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise damaged(file, "its content does not match its digest")
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise damaged(file, str(error)) from error


def fill(
    model: nn.Module, state: Mapping[str, Tensor], file: Path, given: bool = False
) -> nn.Module:
    """Load a complete state into a fresh model, and return it in evaluation mode.

    Args:
        model: a model as its recipe makes it.
        state: all tensors of the model, by name.
        file: path of the export's description, which errors name.
        given: whether the model is the caller's own module, which may be another one than the
            export's.

    Raises:
        MtlError: if names or shapes are not the model's.
    """
    floats = {t.dtype for t in state.values() if t.is_floating_point()}
    if len(floats) == 1:
        model = model.to(floats.pop())
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        if given:
            reason = message_of(error)[:300]
            raise MtlError(f"the module given is not the one of {file.parent}: {reason}") from error
        raise damaged(file, str(error)) from error
    return stateless(model).eval()
