"""Any assignment can be trained that is known beforehand: hand-made, or of an earlier run."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Int64
from torch import Tensor

from mtl_framework import Backbone, GivenAssignment, StrategyConfig
from mtl_framework.data import Suite

from .fixed import FixedConfig, FixedStrategy
from .presets import paper


class FixedSharingConfig(FixedConfig, GivenAssignment):
    """Options give the assignment of :class:`FixedSharing` in exactly one of the possible ways."""


class FixedSharing(FixedStrategy):
    """Train a given assignment: by pattern, by matrix, from an earlier run, or the first units.

    The preset ``prior`` is the prior sharing of the published code of Prellberg and Kramer 2020:
    the first half of the units is shared (rounded down, which gives all five of its networks), the
    second half is not.
    """

    Config: ClassVar[type[StrategyConfig]] = FixedSharingConfig
    config: FixedSharingConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "prior": paper("fixed_sharing", shared_first="half")
    }
    check_options: ClassVar[Mapping[str, Any]] = {"shared_first": "half"}

    def groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """Make the assignment from the one source that the options name.

        Raises:
            MtlError: if it does not fit the backbone's units and the suite's tasks.
        """
        return self.config.groups([unit.name for unit in backbone.units], suite.task_names)
