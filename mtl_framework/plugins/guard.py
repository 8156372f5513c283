"""A guard calls code of a plugin, so that errors name the plugin and its hook.

Exceptions keep their type, so that Python code can catch them; plugin and hook are noted on them
(:func:`origin_of`), and the command line shows both in one line. ``sys.exit`` ends the call, not
the command. After the call torch's global settings are put back, and changes are reported.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..support.errors import MtlError
from .checks import reason_of
from .torch_settings import TorchSettings


class Guard:
    """A guard calls the code of one plugin.

    One guard serves all steps of a generator: before each step the settings of torch that the
    generator last had come back, and after it the host's.

    Args:
        who: the owner of the code, e.g. ``"strategy 'lws' of plugin 'lws' of mtl-framework"``.
        tell: called with a line, once for each hook, that says which settings of torch were
            changed.
        distribution: name of the installed package that the code came with; "" for none.
    """

    def __init__(self, who: str, tell: Callable[[str], None], distribution: str = "") -> None:
        self.who = who
        self.distribution = distribution
        self._tell = tell
        self._told: set[str] = set()
        self._own: dict[str, TorchSettings] = {}

    @contextmanager
    def __call__(self, hook: str, again: bool = False) -> Iterator[None]:
        """Guard the code inside a ``with`` block.

        Args:
            hook: the name of the called function, e.g. ``"build"``.
            again: whether the code goes on where it stopped, with the settings of torch of that
                time.

        Raises:
            MtlError: in place of ``SystemExit``, ``StopIteration`` and any other exception that is
                no subclass of ``Exception``, but for ``KeyboardInterrupt``.
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
    """Note the plugin and its hook on an exception, unless it has such a note already."""
    if origin_of(error) is None:
        error.__dict__["mtl_origin"] = (who, hook)
        error.add_note(f"raised in {hook} of {who}")
    return error


def origin_of(error: BaseException) -> tuple[str, str] | None:
    """Return the plugin and the hook that an exception was raised in; ``None`` if in none."""
    found: tuple[str, str] | None = getattr(error, "mtl_origin", None)
    return found


def exception_of(error: Exception) -> BaseException:
    """Return what a plugin raised: ``SystemExit`` where a guard replaced it, else the error."""
    cause = error.__cause__
    return cause if isinstance(cause, SystemExit) else error


def failure_text(error: BaseException) -> str | None:
    """Say plugin, hook and reason in one line; ``None`` if no plugin raised the error."""
    origin = origin_of(error)
    if origin is None:
        return None
    who, hook = origin
    return f"{who}: {hook} raised {reason_of(error)}"
