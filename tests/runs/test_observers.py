"""The metrics file, and what is noticed on the way to it."""

import io
import json
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from support.tiny import Soft, TinyPlugins, start
from torch import Tensor

from mtl_framework.runs.divergence import LossWatch, NotFiniteError
from mtl_framework.runs.observers import MetricsFile
from mtl_framework.strategies.context import TrainingRun
from mtl_framework.strategies.step import Step

NAN = float("nan")


class Chatty(Soft):
    """Reports every kind of metric."""

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        for step in super().optimize(run):
            metrics: dict[str, Tensor | float] = {
                "entropy": NAN,
                "pi": torch.tensor([[0.5, NAN]]),
                "count": 3,
            }
            yield Step(step.loss.mean() if run.iteration == 3 else step.loss[None], metrics)


def lines_of(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_steps_are_written_every_so_often(tmp_path: Path) -> None:
    plugins = TinyPlugins(chatty=Chatty)
    start(tmp_path / "r", plugins, strategy="chatty", log_every=2, eval_every=6).execute()
    lines = lines_of(tmp_path / "r")
    assert [line["iteration"] for line in lines] == [2, 4, 6, 6]
    assert all(line["metrics"] == {"entropy": None, "pi": [[0.5, None]], "count": 3}
               for line in lines[:3])  # fmt: skip
    assert set(lines[0]["loss_per_task"]) == {"rows", "sides"}  # type: ignore[call-overload]
    assert lines[0]["loss"] == pytest.approx(sum(lines[0]["loss_per_task"].values()) / 2)  # type: ignore[attr-defined]
    assert "loss_per_task" not in lines[1]  # a scalar loss belongs to no task
    assert set(lines[3]["evaluation"]) == {"validation", "test"}  # type: ignore[call-overload]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)  # type: ignore[type-var]


def test_a_metric_that_is_not_finite_does_not_stop_the_bar(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    plugins = TinyPlugins(chatty=Chatty)
    start(tmp_path / "r", plugins, strategy="chatty", console=console).execute()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "loss" in text
    assert "entropy" not in text


@pytest.mark.parametrize(
    ("keep", "left"),
    [(0, b""), (6, b""), (7, b"{1: 2}\n"), (10, b"{1: 2}\n"), (99, b"{1: 2}\n{3}\n")],
)
def test_the_file_is_cut_back_to_whole_lines(tmp_path: Path, keep: int, left: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"{1: 2}\n{3}\n{4")
    file = MetricsFile(path, keep)
    assert file.sync() == len(left)
    file.close()
    assert path.read_bytes() == left


def test_losses_are_looked_at_later_and_the_first_bad_one_is_named() -> None:
    watch = LossWatch(["a", "b"], deferred=True)
    watch.add(1, torch.ones(3, 2))
    watch.check()
    loss = torch.ones(2)
    watch.add(2, loss)
    loss[0] = NAN  # what a strategy does to its tensors afterwards does not matter
    watch.add(3, torch.tensor([[1.0, 1.0], [1.0, float("inf")]]))
    watch.add(4, torch.tensor(NAN))
    with pytest.raises(NotFiniteError, match="the loss of task 'b' is inf at iteration 3"):
        watch.check()
    watch.check()  # said once


def test_losses_do_not_pile_up() -> None:
    watch = LossWatch(["a"], deferred=True)
    watch.add(1, torch.tensor(NAN))
    seen = []

    def train() -> None:
        for iteration in range(2, 1000):
            seen.append(iteration)
            watch.add(iteration, torch.tensor(0.0))

    with pytest.raises(NotFiniteError, match="at iteration 1"):
        train()
    assert 1 < len(seen) < 500
