"""Authors of strategies test them here with the checks that the framework's own pass.

Each function of :data:`CHECKS` takes a :class:`Trial` and an empty folder, and raises
:class:`CheckError` with what is wrong. In tests of pytest::

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_strategy(check, tmp_path):
        check(Trial(MyStrategy, {"weights_per_unit": 3}), tmp_path)

``mtl check-strategy NAME`` runs them from the command line. :class:`Oracle` computes a training
step by plain loops in float64, to compare other computations with.
"""

from typing import TYPE_CHECKING

from ..support.facade import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .checks import CHECKS as CHECKS
    from .checks import check_contract as check_contract
    from .checks import check_devices as check_devices
    from .checks import check_extraction as check_extraction
    from .checks import check_missing_labels as check_missing_labels
    from .checks import check_resuming as check_resuming
    from .checks import check_same_seed as check_same_seed
    from .checks import check_state as check_state
    from .files import run_files as run_files
    from .oracle import Oracle as Oracle
    from .oracle import Outcome as Outcome
    from .trial import CheckError as CheckError
    from .trial import SmallNet as SmallNet
    from .trial import Trial as Trial
    from .trial import small_suite as small_suite

_HOMES = {
    "CHECKS": "checks",
    "CheckError": "trial",
    "Oracle": "oracle",
    "Outcome": "oracle",
    "SmallNet": "trial",
    "Trial": "trial",
    "check_contract": "checks",
    "check_devices": "checks",
    "check_extraction": "checks",
    "check_missing_labels": "checks",
    "check_resuming": "checks",
    "check_same_seed": "checks",
    "check_state": "checks",
    "run_files": "files",
    "small_suite": "trial",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
