"""What the benchmarks share: options, timing in turn, rows of results."""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Classification, Examples, Task
from mtl_framework.support.allocator import keep_freed_memory


@dataclass(frozen=True)
class Row:
    """One line of a benchmark; ``ratio`` is what counts, times are of this machine.

    An empty ``target``: nothing is aimed at.
    """

    what: str
    ratio: float
    target: str
    met: bool
    detail: dict[str, float | str] = field(default_factory=dict)


def at_least(what: str, ratio: float, target: float, **detail: float | str) -> Row:
    return Row(what, round(ratio, 3), f">= {target:g}", ratio >= target, dict(detail))


def at_most(what: str, ratio: float, target: float, **detail: float | str) -> Row:
    return Row(what, round(ratio, 3), f"<= {target:g}", ratio <= target, dict(detail))


def arguments(description: str, figure: bool = False) -> argparse.Namespace:
    """The options of a benchmark, with ``--figure`` for those that draw one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under a minute, coarser")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    if figure:
        parser.add_argument("--figure", type=Path, help="draw the result into this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # for both sides of every comparison
    return options


def in_turn(
    first: Callable[[], object],
    second: Callable[[], object],
    repeats: int,
    device: str = "cpu",
) -> tuple[float, float]:
    """Median seconds of both, run alternately so that a drifting machine treats them alike."""
    timed = (lambda: seconds(first, device)), (lambda: seconds(second, device))
    one, two = medians(*timed, repeats=repeats)
    return one, two


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def medians(*timed: Callable[[], float], repeats: int) -> list[float]:
    """Medians of calls that say how long they took, run in turn after a round that is not counted.

    Where there is only one repeat, of many seconds, the first of the calls alone is run beforehand:
    it is the one that keeps its memory for the next time.
    """
    for call in timed if repeats > 1 else timed[:1]:
        call()
    rounds = [[call() for call in timed] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def make_tasks(classes: Sequence[int], shape: Sequence[int]) -> list[Task]:
    """Tasks on random images."""
    tasks = []
    for number, num_classes in enumerate(classes):
        data = Examples(torch.rand(4, *shape), torch.arange(4) % num_classes)
        tasks.append(Task(f"task{number}", Classification(num_classes), data, data))
    return tasks


def make_batch(tasks: Sequence[Task], size: int = 16, device: str = "cpu") -> Batch:
    """A random batch with ``size`` examples a task."""
    inputs = tuple(torch.rand(size, *task.train.inputs.shape[1:], device=device) for task in tasks)
    targets = tuple(
        torch.randint(task.objective.num_outputs, (size,), device=device) for task in tasks
    )
    return Batch(inputs, targets)


def plugin_backbone(name: str, shape: Sequence[int]) -> Backbone:
    """One of the papers' small networks."""
    from mtl_framework.plugins.manager import Plugins

    channels, height, width = shape
    factory = Plugins.load().backbone(name)
    return build_backbone(BackboneConfig(name=name), channels, (height, width), factory)


def timm_backbone(name: str, shape: Sequence[int], **options: object) -> Backbone:
    """A timm backbone."""
    channels, height, width = shape
    config = BackboneConfig(name=name, **options)
    return build_backbone(config, channels, (height, width))


class Sampler:
    """Assignments from a search distribution whose largest probability is ``top`` everywhere."""

    def __init__(self, units: int, tasks: int, weights: int, top: float | None) -> None:
        random = np.random.default_rng(0)
        if top is None:
            pi = np.full((units, tasks, weights), 1 / weights)
        else:
            pi = np.full((units, tasks, weights), (1 - top) / (weights - 1))
            best = random.integers(0, weights, (units, tasks, 1))
            np.put_along_axis(pi, best, top, 2)
        self.shape = units, tasks
        self.rows = torch.from_numpy(pi).reshape(-1, weights)
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, samples: int = 8) -> Tensor:
        drawn = torch.multinomial(self.rows, samples, True, generator=self.generator)
        return drawn.T.reshape(samples, *self.shape).contiguous()


def finish(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Print the table and write the JSON."""
    table = Table(
        title=f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, "
        f"{options.device}"
    )
    for column in ("what", "ratio", "target", "met", "detail"):
        table.add_column(column, justify="right" if column == "ratio" else "left")
    for row in rows:
        detail = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.detail.items()
        )
        met = ("yes" if row.met else "no") if row.target else ""
        table.add_row(row.what, f"{row.ratio:.2f}", row.target, met, detail)
    Console(width=140).print(table)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
