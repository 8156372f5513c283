"""Checks for authors of strategies: functions for tests, which fail by name.

Each takes a run's config, e.g. ``small_config("my_strategy", option=3)``, trains for a few
iterations in a temporary folder on the CPU, and raises ``AssertionError`` where the strategy breaks
a promise that users rely on.
"""

from typing import TYPE_CHECKING

from .support.facade import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .runs.author_checks import check_extraction as check_extraction
    from .runs.author_checks import check_resuming_is_exact as check_resuming_is_exact
    from .runs.author_checks import check_state_is_registered as check_state_is_registered
    from .runs.author_checks import check_strategy as check_strategy
    from .runs.author_checks import small_config as small_config

_HOMES = {
    "check_extraction": "runs.author_checks",
    "check_resuming_is_exact": "runs.author_checks",
    "check_state_is_registered": "runs.author_checks",
    "check_strategy": "runs.author_checks",
    "small_config": "runs.author_checks",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
