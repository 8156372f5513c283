"""The device that a run computes on is chosen here."""

import os
import sys

import torch

from .errors import MtlError


def available_devices() -> list[str]:
    """Return the names that ``device`` can take on this machine, the fastest first."""
    accelerators = []
    if torch.cuda.is_available():
        accelerators += ["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        accelerators.append("mps")
    return [*accelerators, "cpu"]


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the first of cuda, mps and cpu that is there.

    Raises:
        MtlError: naming the devices that are available.
    """
    known = available_devices()
    if name == "auto":
        return torch.device(known[0])
    if name not in known:
        raise MtlError(f"device {name!r} is not available here (available: {', '.join(known)})")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Return a device's name for results, e.g. ``cpu`` or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def multiplies_bf16() -> bool:
    """Say whether the CPU multiplies bfloat16 by itself, as far as torch tells; older ones do not.

    It does with the instructions AVX512-BF16 or AMX-BF16; without them bfloat16 is converted first.
    """
    told = getattr(torch.cpu, "get_capabilities", None)
    known = {} if told is None else told()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def peak_memory(device: torch.device) -> float | None:
    """Return the most memory in MiB that this process held so far, on a GPU that of its tensors.

    ``None`` where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def physical_memory() -> int | None:
    """Return the bytes of the machine's memory; ``None`` where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
