"""A run's random numbers come from one seed, in separate streams whose states can be saved."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

_STREAMS = {"weights": 0, "batches": 1, "strategy": 2, "held out": 3}


Use = Literal["weights", "batches", "strategy", "held out"]


def derive_seed(seed: int, stream: Use) -> int:
    """Derive a seed, 0 to 2^32 - 1, for one use of a run's seed, so that no two uses draw alike."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS[stream],))
    return int(sequence.generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (on every device), numpy and python.

    ``seed`` lies in 0 to 2^32 - 1.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def generator_states(device: torch.device) -> dict[str, Any]:
    """Return the states of all global generators, as tensors, numbers and strings."""
    version, words, gauss = random.getstate()
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state(),
        "device": device.type,
        "device_state": _device_module(device).get_rng_state() if device.type != "cpu" else None,
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "position": int(numpy_state["state"]["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
    }


def restore_generators(states: dict[str, Any], device: torch.device) -> None:
    """Put the global generators back into states from :func:`generator_states`.

    The device's own generator is left alone if the states come from another kind of device: a run
    that changes device goes on with other random numbers there.
    """
    torch.set_rng_state(states["torch"])
    if states["device"] == device.type and device.type != "cpu":
        _device_module(device).set_rng_state(states["device_state"])
    numpy_state = states["numpy"]
    key = numpy_state["key"].numpy().astype(np.uint32)
    position, has_gauss, gauss = (numpy_state[k] for k in ("position", "has_gauss", "gauss"))
    np.random.set_state(("MT19937", key, position, has_gauss, gauss))
    python = states["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))


@contextmanager
def untouched_generators(device: torch.device) -> Iterator[None]:
    """Put the global generators back, when the block ends, into the states that they had before.

    Those of all GPUs are among them, since :func:`seed_everything` seeds them all. Where the block
    is the first to use a GPU, its generators go on from the seed that torch had.
    """
    states, seed = generator_states(device), torch.initial_seed()
    begun = torch.cuda.is_initialized()
    gpus = torch.cuda.get_rng_state_all() if begun else []
    try:
        yield
    finally:
        restore_generators(states, device)
        if begun:
            torch.cuda.set_rng_state_all(gpus)
        elif torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)


def _device_module(device: torch.device) -> Any:
    return torch.get_device_module(device)
