"""Classes that a split lacks."""

import numpy as np
import pytest
from mtl_suites.class_checks import check_classes

from mtl_framework import MtlError


def test_a_class_that_is_not_everywhere_is_named() -> None:
    with pytest.raises(MtlError, match="c not in train; b not in test"):
        check_classes({"train": np.array(["a", "b"]), "test": np.array(["a", "c"])})
    check_classes(
        {"train": np.array([1, 2]), "test": np.array([2, 1]), "validation": np.array([1])}
    )
