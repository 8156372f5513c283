"""Runs of two real processes, which gloo connects."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from mtl_framework import run
from mtl_framework.networks.result import Result
from mtl_framework.plugins.manager import Plugins

OPTIONS: dict[str, dict[str, Any]] = {
    "fixed_sharing": {"shared_first": 1},
    "pta": {"meta_iteration": 2},
    "adapters": {"kind": "low_rank", "rank": 2, "trunk": "trained"},
    "muir": {
        "block_in": 2, "block_out": 2, "steps_per_generation": 2, "indivisible": "ordinary",
        "search_generations": 2,
    },
    "lws": {"nes_samples": 4, "weight_samples": 2},
}  # fmt: skip
SETTINGS: dict[str, Any] = {"iterations": 4, "eval_every": 2, "batch_size": 8, "log_every": 1}


class Grouped(nn.Module):
    """Three small units whose norms see one example at a time: parts of a batch change nothing."""

    def __init__(self, num_classes: int = 10, in_chans: int = 1, img_size: object = None) -> None:
        super().__init__()
        self.one, self.two, self.three = (
            nn.Sequential(nn.Conv2d(a, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
            for a in (in_chans, 8, 8)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, num_classes)

    def units(self) -> dict[str, list[str]]:
        """Name the parts that can be shared."""
        return {"one": ["one"], "two": ["two"], "three": ["three"]}

    def get_classifier(self) -> nn.Linear:
        """Return the last layer."""
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        y: Tensor = self.head(self.pool(self.three(self.two(self.one(x)))).flatten(1))
        return y


def small_run(strategy: str, folder: Path, **settings: Any) -> Result:
    """Train a few steps on small digits."""
    torch.manual_seed(0)
    options = OPTIONS.get(strategy, {}) | SETTINGS | settings
    return run(
        strategy, Grouped(), {"name": "digits", "size": 8}, output=folder, device="cpu",
        progress=False, plugins=Plugins.load(), **options,
    )  # fmt: skip


def _work(rank: int, port: int, folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo")
    for name, settings in runs.items():
        small_run(folder=folder / name, **settings)
    dist.destroy_process_group()


def run_by_two(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Do several runs, one after the other, by two processes.

    Args:
        folder: holds the runs' folders.
        runs: by the name of its folder what :func:`small_run` gets.
    """
    spawn(_work, (31517 + os.getpid() % 2000, folder, runs), nprocs=2)


def free_strategies(left_out: Sequence[str]) -> list[str]:
    """Return all installed strategies but some."""
    return [name for name in Plugins.load().names("strategy") if name not in left_out]
