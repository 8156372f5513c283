"""An observer is examined before it is told anything."""

from ..support.errors import MtlError
from .checks import LeftOutError, check_hooks
from .contributions import specified_hooks


def examine_observer(observer: object, what: str) -> None:
    """Raise an error on an observer that could not be told of anything.

    Args:
        observer: what an observer's factory has made.
        what: what messages call it.

    Raises:
        MtlError: if it has no hook, or one that does not exist.
    """
    try:
        problems = list(check_hooks(observer, specified_hooks()))
    except LeftOutError as error:
        raise MtlError(f"{what} ({type(observer).__name__}): {error}") from error
    if problems:
        raise MtlError(f"{what} ({type(observer).__name__}): {problems[0]}")
