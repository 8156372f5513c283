"""Shapes in signatures are enforced while the tests run, with one thread, as in `make test`."""

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest
from support.shapes import enforce_shapes

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes inherit it
enforce_shapes(
    [
        "mtl_framework",
        "mtl_adapters",
        "mtl_lws",
        "mtl_baselines",
        "mtl_branching",
        "mtl_backbones",
        "mtl_muir",
        "mtl_pta",
        "mtl_routing_networks",
        "mtl_soft_ordering",
        "mtl_soft_sharing",
        "mtl_suites",
        "mtl_tensorboard",
        "mtl_csv",
        "mtl_mlflow",
        "mtl_wandb",
    ]
)

import torch  # noqa: E402

# The first call of a checked function is slow, and so is a busy machine: neither is a failure.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """What a test leaves behind of signal handling would decide another test."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
