"""The smallest whole runs: a suite, a backbone, strategies, and a folder's content to compare.

``soft`` is a strategy whose network shares nothing as a whole, and whose steps draw from every
generator there is: what a resumed run forgets, it cannot hide.
"""

import random
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Binary, Classification, Examples, Suite, Task
from mtl_framework.networks.model import MultiTaskModel, ParameterCounts
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.run import Interrupted, Run
from mtl_framework.strategies.context import TrainingRun
from mtl_framework.strategies.step import Step
from mtl_framework.strategies.strategy import Strategy, StrategyConfig
from mtl_framework.testing import run_files

# "seconds", "training_seconds", "seconds_per_iteration", "peak_memory", "metrics_length"}


def tiny_suite(examples: int = 24, validation: bool = True) -> Suite:
    """Two tasks on 4x4 images whose classes show in the image."""
    generator = torch.Generator().manual_seed(5)

    def draw(count: int, objective: Classification | Binary) -> Examples:
        classes = max(objective.num_outputs, 2)
        targets = torch.arange(count) % classes
        inputs = torch.randint(0, 100, (count, 1, 4, 4), generator=generator)
        inputs[torch.arange(count), 0, targets] += 150
        return Examples(inputs.to(torch.uint8), targets)

    tasks = []
    for name, objective in (("rows", Classification(3)), ("sides", Binary())):
        splits = [draw(count, objective) for count in (examples, 9, 10)]
        held_out = splits[1] if validation else None
        tasks.append(Task(name, objective, splits[0], splits[2], held_out))
    return Suite("tiny", tasks)


class TinyNet(nn.Module):
    """Four linear layers with batch norm; two of them can be shared."""

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int]) -> None:
        super().__init__()
        size = in_chans * img_size[0] * img_size[1]
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(size, 6))
        self.low = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.high = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
        self.fc = nn.Linear(5, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"stem": ["stem"], "low": ["low"], "high": ["high"]}

    def get_classifier(self) -> nn.Linear:
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.high(self.low(self.stem(x))))
        return y


class EvenNet(TinyNet):
    """The same with two units of equal shapes."""

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int]) -> None:
        super().__init__(num_classes, in_chans, img_size)
        self.high = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.fc = nn.Linear(6, num_classes)


class SoftModel(MultiTaskModel):
    """Every task mixes the features of two columns: nothing is shared as a whole."""

    def __init__(self, backbone: Backbone, suite: Suite) -> None:
        super().__init__(suite.tasks)
        self.columns = nn.ModuleList(backbone.create(4) for _ in range(2))
        self.drop = nn.Dropout(0.2)
        self.mixing = nn.Parameter(torch.zeros(len(suite), 2))
        self.heads = nn.ModuleList(nn.Linear(4, t.objective.num_outputs) for t in suite.tasks)

    def predict(self, task: int, inputs: Tensor) -> Tensor:
        features = torch.stack([column(inputs) for column in self.columns])
        mixed = torch.einsum("c,crf->rf", self.mixing[task].softmax(0), features)
        outputs: Tensor = self.heads[task](self.drop(mixed))
        return outputs

    def losses(self, batch: Batch) -> Tensor:
        each = [
            task.objective.losses(self.predict(t, x), y).mean()
            for t, (task, x, y) in enumerate(
                zip(self.tasks, batch.inputs, batch.targets, strict=True)
            )
        ]
        return torch.stack(each)

    def extract(self, task: int) -> nn.Module:
        raise NotImplementedError

    def sharing(self) -> None:
        return None

    def parameter_counts(self) -> ParameterCounts:
        count = sum(p.numel() for p in self.parameters())
        return ParameterCounts(count, count)


class Soft(Strategy):
    """Trains a :class:`SoftModel` with noise from every generator."""

    class Config(StrategyConfig):
        learning_rate: float = 0.1
        # the checker of shapes in the tests' own process draws from python's generator, too
        python_noise: bool = False

    network: SoftModel

    def build(self, backbone: Backbone, suite: Suite) -> SoftModel:
        network = SoftModel(backbone, suite)
        self.optimizer = torch.optim.Adam(network.parameters(), self.config.learning_rate)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.95)
        self.generator = torch.Generator().manual_seed(self.seed)
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        while True:
            self.network.train()
            losses = self.network.losses(run.next_batch())
            noise = torch.rand(2, generator=self.generator) + torch.rand(2)
            noise = noise + float(np.random.normal())
            if self.config.python_noise:
                noise = noise + random.random()
            self.optimizer.zero_grad()
            (losses * noise).sum().backward()
            self.optimizer.step()
            self.scheduler.step()
            yield Step(losses, {"entropy": losses.detach().std(), "rate": 0.5})


class Routed(Strategy):
    """Own weights in the upper unit, shared ones below, through the host's own networks."""

    network: TaskNetworks
    optimizer: torch.optim.Optimizer

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        network = TaskNetworks(backbone, suite.tasks, [1, 2])
        network.assignment.copy_(torch.tensor([[0, 0], [0, 1]]))
        self.optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment[None].cpu()
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses)


class TinyPlugins(Plugins):
    """The names above, and a record of what observers were told."""

    def __init__(self, **strategies: type[Strategy]) -> None:
        super().__init__()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.register(TinyPlugin(strategies), "tiny")

    def notify(self, hook: str, **values: Any) -> None:
        self.told.append((hook, values))
        super().notify(hook, **values)


class TinyPlugin:
    def __init__(self, strategies: dict[str, type[Strategy]]) -> None:
        self.strategies = strategies

    @hookimpl
    def mtl_strategies(self) -> dict[str, type[Strategy] | str]:
        learned = "mtl_lws.strategy:LearnedWeightSharing"
        return {"soft": Soft, "routed": Routed, "learned": learned, **self.strategies}

    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"tiny": tiny_suite}

    @hookimpl
    def mtl_backbones(self) -> dict[str, Callable[..., nn.Module]]:
        return {"tiny": TinyNet, "even": EvenNet}


def tiny_config(strategy: str | dict[str, Any] = "soft", **changes: Any) -> RunConfig:
    values = {
        "strategy": {"name": strategy} if isinstance(strategy, str) else strategy,
        "backbone": {"name": "tiny"},
        "suite": {"name": "tiny"},
        "iterations": 6,
        "eval_every": 2,
        "log_every": 1,
        "batch_size": 8,
        "eval_batch_size": 6,
        "device": "cpu",
        **changes,
    }
    return RunConfig.model_validate(values)


def start(directory: Path, plugins: TinyPlugins | None = None, **options: Any) -> Run:
    """Start a run; ``resume`` and ``console`` go to the run, the rest into its config."""
    outer = {key: options.pop(key) for key in ("resume", "console") if key in options}
    return Run.start(tiny_config(**options), plugins or TinyPlugins(), directory, **outer)


def finish(run: Run, stop_at: int | None = None) -> None:
    """Run to the end, or as if interrupted behind an iteration."""
    if stop_at is None:
        run.execute()
        return
    advance = run._advance

    def interrupted(steps: Any, interrupts: Any) -> Any:
        if run.iteration + 1 == stop_at:
            signal.raise_signal(signal.SIGINT)
        return advance(steps, interrupts)

    run._advance = interrupted  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        run.execute()


content = run_files
