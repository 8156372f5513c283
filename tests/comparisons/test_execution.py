"""Cells that are one and the same run are run once."""

from types import SimpleNamespace
from typing import Any

from mtl_framework.comparisons.execution import execute


class Item:
    """A tracked cell without a run behind it."""

    def __init__(self, folder: str, done: set[str]) -> None:
        self.cell = SimpleNamespace(folder=folder)
        self.folder, self.running, self.done = folder, False, done
        self.look()

    def look(self) -> None:
        self.status = SimpleNamespace(state="done" if self.folder in self.done else "waiting")


class Executor:
    """Ends every cell by the next call."""

    def __init__(self, done: set[str]) -> None:
        self.done = done
        self.started: list[str] = []
        self._running: list[Any] = []

    def has_room(self) -> bool:
        return len(self._running) < 2

    def start(self, cell: Any, folder: str) -> None:
        self.started.append(folder)
        self._running.append(SimpleNamespace(cell=cell))

    def ended(self) -> list[Any]:
        ended, self._running = self._running, []
        self.done |= {one.cell.folder for one in ended}
        return ended

    def stop(self) -> None:
        self._running = []


def test_controls_that_two_strategies_have_in_common_are_run_once() -> None:
    done = {"d"}
    items: list[Any] = [Item(folder, done) for folder in ("a", "b", "a", "d", "c", "b")]
    executor: Any = Executor(done)
    assert execute(items, executor, lambda: None) is None
    assert executor.started == ["a", "b", "c"]
    assert all(item.status.state == "done" and not item.running for item in items)
