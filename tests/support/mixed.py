"""Three tiny tasks of different kinds, with networks of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mtl_backbones
import mtl_baselines
import mtl_lws
import torch
from mtl_suites.motifs import motif_examples
from mtl_suites.text import windows

from mtl_framework import hookimpl
from mtl_framework.data.tasks import (
    Classification,
    Examples,
    LanguageModel,
    Regression,
    Suite,
    Task,
)
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.run import Run
from mtl_framework.support.validation import validated


def mixed_suite(dropout: float = 0.2) -> Suite:
    """Images for LeNet, words for an LSTM (4 streams), symbols for DeepBind."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Examples:
        inputs = torch.randint(256, (count, 1, 10, 10), generator=generator, dtype=torch.uint8)
        return Examples(inputs, (inputs[:, 0, 5, 5] > 127).long())

    def words(streams: int, text: int) -> Examples:
        tokens = torch.arange(text) % 7 + torch.randint(2, (text,), generator=generator)
        return windows(tokens, streams, 5, "text")

    dna = motif_examples({"train": 12, "validation": 6, "test": 6}, 12, seed=1)
    lstm = {"width": 16, "dropout": dropout}
    tasks = [
        Task(
            "image", Classification(2), images(12), images(8), images(8), 4, {"name": "lenet"}
        ),
        Task(
            "text", LanguageModel(8), words(4, 64), words(2, 33), words(2, 33),
            backbone={"name": "lstm_language_model", "args": lstm},
        ),
        Task(
            "dna", Regression(), dna["train"], dna["test"], dna["validation"], 3,
            {"name": "deepbind", "args": {"width": 16, "kernel_size": 8}},
        ),
    ]  # fmt: skip
    return Suite("mixed", tasks)


class _Suites:
    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"mixed": mixed_suite}


def mixed_plugins() -> Plugins:
    """The suite, the papers' backbones, the baselines, learned weight sharing."""
    plugins = Plugins()
    for name, plugin in (
        ("suites", _Suites()),
        ("papers", mtl_backbones),
        ("baselines", mtl_baselines),
        ("lws", mtl_lws),
    ):
        plugins.register(plugin, name)
    return plugins


def mixed_config(**changes: Any) -> RunConfig:
    """No sharing on the mixed suite, on the CPU."""
    values: dict[str, Any] = {
        "strategy": {"name": "no_sharing"},
        "suite": {"name": "mixed"},
        "iterations": 4,
        "eval_every": 2,
        "log_every": 1,
        "device": "cpu",
    }
    return validated(RunConfig, {**values, **changes})


def start_mixed(directory: Path, resume: bool = False, **changes: Any) -> Run:
    """A run in a folder."""
    return Run.start(mixed_config(**changes), mixed_plugins(), directory, resume)
