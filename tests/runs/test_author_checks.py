"""Every strategy of ours passes the checks that authors of strategies are given."""

from typing import Any

import pytest

from mtl_framework.plugins.manager import Plugins
from mtl_framework.testing import check_strategy, small_config

OPTIONS: dict[str, dict[str, Any]] = {
    "lws": {"weights_per_unit": 2},
    "full_sharing": {},
    "fixed_sharing": {"shared_first": 2},
    "cross_stitch": {},
    "pta": {"decoders": 2, "meta_iteration": 2},
    "muir": {
        "steps_per_generation": 2, "burn_in": 0, "block_out": 4, "block_in": 4,
        "indivisible": "ordinary",
    },
}  # fmt: skip


def test_no_strategy_is_forgotten() -> None:
    installed = {contribution.name for contribution in Plugins.load().contributions("strategy")}
    assert installed == {*OPTIONS, "no_sharing"}  # built like full_sharing


@pytest.mark.parametrize("strategy", list(OPTIONS))
def test_a_strategy_of_ours_keeps_what_is_promised(strategy: str) -> None:
    check_strategy(small_config(strategy, **OPTIONS[strategy]), Plugins.load())
