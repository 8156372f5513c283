"""Whole runs on images in files: streamed or held, stopped or not, they are the same run."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny import TinyPlugins, content, start

from mtl_framework.data.streaming import LazyInputs
from mtl_framework.data.tasks import Binary, Classification, Examples, Suite, Task
from mtl_framework.data.transforms import Transforms
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs.run import Interrupted
from mtl_framework.support.errors import MtlError


class Pictures:
    """A plugin with a suite of PNG files, turned at random in training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[[], Suite]]:
        return {"pictures": lambda: pictures(self.folder)}


class Signals(TinyPlugins):
    """Sends this process a signal after a step."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def notify(self, hook: str, **values: Any) -> None:
        super().notify(hook, **values)
        if hook == "mtl_step" and values["run"].iteration == self.after:
            signal.raise_signal(signal.SIGINT)


def write_pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(random.integers(0, 256, (4, 4), np.uint8)).save(folder / f"{number}.png")


def pictures(folder: Path) -> Suite:
    flip = Transforms.from_config({"train": ["RandomHorizontalFlip"]})
    tasks = []
    for place, objective in enumerate((Classification(3), Binary())):
        splits = []
        for first, last in ((0, 10), (10, 15), (15, 20)):
            rows = range(20 * place + first, 20 * place + last)
            inputs = LazyInputs([folder / f"{row}.png" for row in rows], (1, 4, 4))
            targets = torch.tensor([row % (3 - place) for row in rows])
            transform = flip.train if first == 0 else None
            splits.append(Examples(inputs, targets, transform=transform))
        tasks.append(Task(f"task{place}", objective, splits[0], splits[2], splits[1]))
    return Suite("pictures", tasks)


def plugins_with(folder: Path, plugins: TinyPlugins | None = None) -> TinyPlugins:
    plugins = plugins or TinyPlugins()
    plugins.register(Pictures(folder), "pictures")
    return plugins


def outcome(folder: Path) -> dict[str, Any]:
    """All of a run's files but what they say about where the inputs lay."""
    found = content(folder)
    return {key: x for key, x in found.items() if key.endswith((".jsonl", ".safetensors"))} | {
        "result": {k: v for k, v in found["result.json"].items() if k != "config"}
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    write_pictures(folder)
    return folder


def options(**changes: Any) -> dict[str, Any]:
    return {
        "suite": {"name": "pictures"},
        "strategy": "routed",
        "batch_size": 3,
        "eval_every": 4,
        **changes,
    }


STREAMED = {"keep_on_device": "never", "data_workers": 1}


def test_a_streamed_run_equals_one_from_memory(tmp_path: Path, files: Path) -> None:
    kept = options(keep_on_device="always", data_workers=0)
    start(tmp_path / "kept", plugins_with(files), **kept).execute()
    start(tmp_path / "streamed", plugins_with(files), **options(**STREAMED)).execute()
    assert outcome(tmp_path / "kept") == outcome(tmp_path / "streamed")


@pytest.mark.long
def test_a_streamed_run_that_was_stopped_goes_on(tmp_path: Path, files: Path) -> None:
    streamed = options(**STREAMED)
    start(tmp_path / "whole", plugins_with(files), **streamed).execute()
    for folder, goes_on in (("same", streamed), ("held", options(keep_on_device="always"))):
        with pytest.raises(Interrupted, match="iteration 3 of 6"):
            start(tmp_path / folder, plugins_with(files, Signals(3)), **streamed).execute()
        torch.rand(5)
        run = start(tmp_path / folder, plugins_with(files), resume=True, **goes_on)
        assert run.iteration == 3
        run.execute()
        assert outcome(tmp_path / folder) == outcome(tmp_path / "whole")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_lost_during_a_run_is_named(tmp_path: Path, files: Path, workers: int) -> None:
    streamed = options(**STREAMED | {"data_workers": workers})
    run = start(tmp_path / "run", plugins_with(files), **streamed)
    (files / "27.png").unlink()
    with pytest.raises(MtlError, match=rf"^there is no image {files / '27.png'}\Z"):
        run.execute()
    with pytest.raises(MtlError, match=rf"^there is no image {files / '27.png'}\Z"):
        start(tmp_path / "other", plugins_with(files), **options(keep_on_device="always"))
    assert not (tmp_path / "other").exists()
