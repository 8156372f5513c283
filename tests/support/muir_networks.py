"""Small tasks of several kinds, each with its own network, for the tests of muir."""

from typing import Any

import torch

from mtl_framework.backbones.backbone import PlainBackbone
from mtl_framework.backbones.build import build_plain
from mtl_framework.backbones.config import PlainBackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import (
    Classification,
    Examples,
    LanguageModel,
    Objective,
    Regression,
    Suite,
    Task,
)
from mtl_framework.plugins.manager import Plugins
from support.typed import stored

PLUGINS = Plugins.load()
WORDS = 12


def task(name: str, objective: Objective, inputs: torch.Tensor, targets: torch.Tensor) -> Task:
    data = Examples(inputs, targets)
    return Task(name, objective, data, data, data, backbone={"name": "given by the test"})


def image_task(name: str = "image", generator: torch.Generator | None = None) -> Task:
    inputs = torch.rand(6, 1, 10, 10, generator=generator)
    return task(name, Classification(3), inputs, torch.arange(6) % 3)


def text_task(name: str = "text", generator: torch.Generator | None = None) -> Task:
    words = torch.randint(WORDS, (4, 6), generator=generator)
    return task(name, LanguageModel(WORDS), words[:, :-1], words[:, 1:])


def dna_task(name: str = "dna", generator: torch.Generator | None = None) -> Task:
    symbols = torch.randint(5, (5, 9), generator=generator)
    return task(name, Regression(), symbols, (symbols == 2).sum(1).float())


def linear_task(name: str, generator: torch.Generator | None = None) -> Task:
    inputs = torch.rand(7, 4, generator=generator)
    return task(name, Regression(), inputs, inputs.sum(1))


def plain(task: Task, name: str, **args: Any) -> PlainBackbone:
    inputs = task.train.inputs
    return build_plain(
        PlainBackboneConfig(name=name, args=args),
        tuple(inputs.shape[1:]),
        inputs.dtype,
        task.objective.num_outputs,
        PLUGINS.backbone(name),
    )


def three_kinds(seed: int = 0) -> tuple[list[PlainBackbone], Suite]:
    """Images with LeNet, words with an LSTM, symbols with DeepBind; blocks of 8x8 divide all."""
    generator = torch.Generator().manual_seed(seed)
    tasks = [
        image_task(generator=generator),
        text_task(generator=generator),
        dna_task(generator=generator),
    ]
    backbones = [
        plain(tasks[0], "lenet"),
        plain(tasks[1], "lstm_language_model", width=16, dropout=0.0),
        plain(tasks[2], "deepbind", width=16, kernel_size=3),
    ]
    return backbones, Suite("three kinds", tasks)


def linear_models(count: int, bias: bool = False) -> tuple[list[PlainBackbone], Suite]:
    """Linear tasks, all with one kind of network."""
    generator = torch.Generator().manual_seed(1)
    tasks = [linear_task(f"line{n}", generator) for n in range(count)]
    return [plain(task, "linear", bias=bias) for task in tasks], Suite("linear", tasks)


def whole_batch(suite: Suite) -> Batch:
    """All training examples of every task."""
    return Batch(
        tuple(stored(task.train) for task in suite.tasks),
        tuple(task.train.targets for task in suite.tasks),
    )
