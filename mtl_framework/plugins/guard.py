"""Code of a plugin, called so that what goes wrong in it is told with its plugin and its hook.

Exceptions keep their type, so that Python code can catch them; the place is noted on them
(:func:`origin_of`), and the command line makes a line of it. ``sys.exit`` ends the call, not the
command. torch's global settings are put back behind the call, and what was changed is told.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..support.errors import MtlError
from .checks import reason_of
from .torch_settings import TorchSettings


class Guard:
    """Calls of one plugin's code.

    A generator's steps are guarded by one object: its own settings of torch come back with every
    step, the host's are back between them.

    Args:
        who: whose code it is, e.g. ``"strategy 'lws' of plugin 'lws' of mtl-framework"``.
        tell: is told in a line, once a hook, which settings of torch were changed.
    """

    def __init__(self, who: str, tell: Callable[[str], None]) -> None:
        self.who = who
        self._tell = tell
        self._told: set[str] = set()
        self._own: dict[str, TorchSettings] = {}

    @contextmanager
    def __call__(self, hook: str, again: bool = False) -> Iterator[None]:
        """Guard a call.

        Args:
            hook: what is called, e.g. ``"build"``.
            again: the code goes on where it stopped, with the settings of torch that it had then.

        Raises:
            MtlError: in place of ``SystemExit`` and what else is no ``Exception``.
        """
        before = TorchSettings.now()
        if again and hook in self._own:
            self._own[hook].apply()
        try:
            yield
        except SystemExit as error:
            text = f"{self.who}: {hook} called sys.exit({error.code!r})"
            raise noted(MtlError(text), self.who, hook) from error
        except MtlError:
            raise
        except StopIteration as error:  # which would end a generator around the call
            text = f"{self.who}: {hook} raised {reason_of(error)}"
            raise noted(MtlError(text), self.who, hook) from error
        except Exception as error:
            noted(error, self.who, hook)
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of a kind of the plugin's own: it ends the call only
            text = f"{self.who}: {hook} raised {reason_of(error)}"
            raise noted(MtlError(text), self.who, hook) from error
        finally:
            self._put_back(before, hook)

    def _put_back(self, before: TorchSettings | None, hook: str) -> None:
        after = TorchSettings.now()
        if before is None or after is None or before == after:
            self._own.pop(hook, None)
            return
        self._own[hook] = after
        before.apply()
        if hook not in self._told:
            self._told.add(hook)
            changes = before.changes(after)
            self._tell(f"{self.who}: {hook} changed torch's {changes}; that was put back")


def noted(error: Exception, who: str, hook: str) -> Exception:
    """An exception that knows which plugin's hook it comes from; the innermost place stays."""
    if origin_of(error) is None:
        error.__dict__["mtl_origin"] = (who, hook)
        error.add_note(f"raised in {hook} of {who}")
    return error


def origin_of(error: BaseException) -> tuple[str, str] | None:
    """Plugin and hook that an exception was raised in, where it was."""
    found: tuple[str, str] | None = getattr(error, "mtl_origin", None)
    return found


def exception_of(error: Exception) -> BaseException:
    """What code of a plugin raised: ``SystemExit`` where a guard put another error in its place."""
    cause = error.__cause__
    return cause if isinstance(cause, SystemExit) else error


def failure_text(error: BaseException) -> str | None:
    """Plugin, hook and reason in one line; ``None`` for what no plugin raised."""
    origin = origin_of(error)
    if origin is None:
        return None
    who, hook = origin
    return f"{who}: {hook} raised {reason_of(error)}"
