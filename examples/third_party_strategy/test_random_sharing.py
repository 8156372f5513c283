"""Random sharing keeps what the framework relies on: pytest test_random_sharing.py."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mtl_random_sharing import RandomSharing

from mtl_framework.testing import CHECKS, Trial


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_promises(check: Callable[[Trial, Path], None], tmp_path: Path) -> None:
    """Contract, seeds, resuming, extraction, state, missing labels, devices."""
    check(Trial(RandomSharing, {"weights_per_unit": 3}), tmp_path)
