"""What tasks share is read from the networks of a strategy, which may be anyone's."""

from ..networks.assignment import Assignment
from ..networks.model import MultiTaskModel, Sharing
from ..support.errors import MtlError


def assignment_of(network: MultiTaskModel, strategy: str) -> Assignment | None:
    """Return which weights tasks use now; ``None`` where units are not shared as a whole.

    Args:
        network: the networks of a run.
        strategy: name of the strategy that made them, for messages.

    Raises:
        MtlError: if the networks return something else than a sharing or ``None``.
    """
    sharing: object = network.sharing()
    if not isinstance(sharing, Sharing | None):
        raise odd_return(strategy, "sharing", "Sharing or None", sharing)
    return None if sharing is None else Assignment.of(sharing)


def odd_return(strategy: str, method: str, wanted: str, given: object) -> MtlError:
    """Make the error for a method of a strategy's networks that returns something odd."""
    return MtlError(
        f"strategy {strategy!r}: {method} of its network should return {wanted}, found "
        f"{type(given).__name__}"
    )
