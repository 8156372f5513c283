"""Runs whose tasks have objectives of a plugin's own know their data as other runs do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.tiny import TinyPlugins, start, tiny_suite

from mtl_framework import MtlError, hookimpl, load_run
from mtl_framework.data import Classification, Examples, Suite, Task


class Halved(Classification):
    """A third party's loss."""

    def losses(self, outputs: Any, targets: Any) -> Any:
        return super().losses(outputs, targets) / 2


@dataclass
class HalvedPlugin:
    """A suite whose data change: names of the classes, and a label of the given split."""

    names: tuple[str, ...] = ("a", "b", "c")
    changed: str = ""

    @hookimpl
    def mtl_suites(self) -> dict[str, Any]:
        return {"halved": self.suite}

    def suite(self) -> Suite:
        splits = {}
        for split, examples in tiny_suite().tasks[0].splits().items():
            targets = examples.targets.clone()
            targets[0] = (targets[0] + (split == self.changed)) % 3
            splits[split] = Examples(examples.inputs, targets)
        objective = Halved(3, self.names)
        task = Task("rows", objective, splits["train"], splits["test"], splits["validation"])
        return Suite("halved", [task])


def test_they_know_their_data(tmp_path: Path) -> None:
    data = HalvedPlugin()

    def plugins() -> TinyPlugins:
        made = TinyPlugins()
        made.register(data, "halved")
        return made

    chosen = {"suite": {"name": "halved"}, "iterations": 2}
    start(tmp_path / "r", plugins(), **chosen).execute()
    measured = load_run(tmp_path / "r", plugins=plugins()).evaluate()
    chosen["iterations"] = 4
    for split in ("train", "validation", "test"):
        data.changed = split
        message = f"{split} split of rows: 1 has another label"
        with pytest.raises(MtlError, match=message):
            start(tmp_path / "r", plugins(), resume=True, **chosen)
        with pytest.raises(MtlError, match=message):
            load_run(tmp_path / "r", plugins=plugins())
    data.changed, data.names = "", ("a", "b", "x")
    with pytest.raises(
        MtlError, match="classes of task 'rows' were a, b, c and are a, b, x; these"
    ):
        load_run(tmp_path / "r", plugins=plugins())
    data.names = ("a", "b", "c")
    assert load_run(tmp_path / "r", plugins=plugins()).evaluate() == measured
    start(tmp_path / "r", plugins(), resume=True, **chosen).execute()
