"""Shapes in signatures are enforced while the tests run."""

import pytest
from jaxtyping import install_import_hook

install_import_hook(
    ["mtl_framework", "mtl_lws", "mtl_baselines", "mtl_backbones"], "beartype.beartype"
)

import torch  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
