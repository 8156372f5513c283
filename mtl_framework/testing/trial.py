"""A strategy gets a small suite and a small network, with which the checks run it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.objectives import Binary, Classification, Objective
from ..data.tasks import Examples, Suite, Task
from ..plugins.hookspecs import hookimpl
from ..plugins.manager import Plugins
from ..runs.load import LoadedRun, load_run
from ..runs.resolve import Layer, ResolvedConfig, resolve
from ..runs.run import Run
from ..runs.settings import Setting
from ..strategies.context import TrainingRun
from ..strategies.strategy import Strategy

OBJECTIVES: tuple[tuple[str, Objective], ...] = (
    ("rows", Classification(3)),
    ("sides", Binary()),
    ("corners", Classification(4)),
)


class CheckError(AssertionError):
    """This is raised where a strategy does not do what the framework relies on."""


def small_suite(
    common_input: bool = False, unlabelled: float = 0.0, odd_targets: bool = False
) -> Suite:
    """Make three tasks on images of 6x6 pixels, in which a bright pixel shows the classes.

    Args:
        common_input: whether all tasks read the same images.
        unlabelled: share of the training examples of the first task that have no label.
        odd_targets: whether the targets of those examples are others; nothing may depend on them.
    """
    generator = torch.Generator().manual_seed(5)

    def draw(count: int) -> Tensor:
        inputs = torch.randint(0, 100, (count, 1, 6, 6), generator=generator)
        rows = torch.arange(count)
        inputs.flatten(1)[rows, rows % 12] += 150
        return inputs.to(torch.uint8)

    def label(inputs: Tensor, objective: Objective, missing: int = 0) -> Examples:
        rows, classes = torch.arange(len(inputs)), max(objective.num_outputs, 2)
        targets, labelled = rows % classes, rows >= missing
        if odd_targets:
            targets = torch.where(labelled, targets, (targets + 1) % classes)
        return Examples(inputs, targets, labelled=labelled if missing else None)

    counts = (24, 12, 9)
    common = [draw(count) for count in counts]
    tasks = []
    for number, (name, objective) in enumerate(OBJECTIVES):
        each = common if common_input else [draw(count) for count in counts]
        missing = round(24 * unlabelled) if number == 0 else 0
        train = label(each[0], objective, missing)
        validation, test = (label(inputs, objective) for inputs in each[1:])
        tasks.append(Task(name, objective, train, test, validation))
    return Suite("small", tasks, common_input=common_input)


class SmallNet(nn.Module):
    """This is a convolutional network of four units with batch norm; its last layer is dense.

    All its numbers of channels are multiples of four, so that methods that cut weights into blocks
    find some; weights of two units that follow each other have equal shapes, for methods that
    exchange units.
    """

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        super().__init__()
        self.stem = _block(in_chans, 4)
        self.low = _block(4, 4)
        self.mid = _block(4, 4)
        self.high = nn.Sequential(_block(4, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(8, num_classes)

    def units(self) -> dict[str, list[str]]:
        """Return the submodules of every unit, by the unit's name."""
        return {name: [name] for name in ("stem", "low", "mid", "high")}

    def get_classifier(self) -> nn.Linear:
        """Return the last layer."""
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        """Compute class scores (rows, classes) of images (rows, channels, height, width)."""
        y: Tensor = self.fc(self.high(self.mid(self.low(self.stem(x)))))
        return y


def _block(in_chans: int, out_chans: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_chans, out_chans, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_chans),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Trial:
    """A trial is a strategy and what it is tried on.

    Args:
        strategy: a strategy class, or the name of one that an installed plugin contributes.
        options: options of the strategy.
        config: further keys of a run's config, e.g. ``{"batch_size": 4}``.
        settings: further settings, as ``--set`` gives them.
        make_suite: a function that makes the tasks from the arguments of :func:`small_suite`.
        make_backbone: a function that makes the network from ``(num_classes, in_chans, img_size)``.
    """

    strategy: type[Strategy] | str
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[Setting] = ()
    make_suite: Callable[..., Suite] = small_suite
    make_backbone: Callable[..., nn.Module] = SmallNet

    @property
    def name(self) -> str:
        """Return what messages call the strategy."""
        return self.strategy if isinstance(self.strategy, str) else self.strategy.__name__

    def plugins(self, on_step: Callable[[TrainingRun], None] | None = None) -> Plugins:
        """Return the plugins that a run of the trial looks its names up in.

        Args:
            on_step: a function that is called after every step of the run.
        """
        plugins = Plugins.load() if isinstance(self.strategy, str) else Plugins()
        plugins.register(_TrialPlugin(self, on_step), "trial")
        return plugins

    def start(
        self,
        directory: Path,
        on_step: Callable[[TrainingRun], None] | None = None,
        resume: bool = False,
        **config: Any,
    ) -> Run:
        """Begin a run of six iterations with an evaluation after every third, on the CPU.

        Args:
            directory: folder for the run's files.
            on_step: a function that is called after every step of the run.
            resume: whether to go on with the run in the folder.
            config: keys of the config that differ from those of the trial.

        Raises:
            MtlError: if anything about the strategy, its options or the folder is wrong.
        """
        plugins = self.plugins(on_step)
        return Run.start(self.resolve(plugins, **config), plugins, directory, resume)

    def resolve(self, plugins: Plugins, **config: Any) -> ResolvedConfig:
        """Return the complete config of a run of the trial.

        Args:
            plugins: the plugins of :meth:`plugins`.
            config: keys of the config that differ from those of the trial.

        Raises:
            MtlError: if an option is wrong or missing.
        """
        strategy = self.strategy if isinstance(self.strategy, str) else "trial"
        common = plugins.strategy(strategy).needs_common_input
        values = {
            "strategy": {"name": strategy, **self.options},
            "suite": {"name": "trial", **({"common_input": True} if common else {})},
            "backbone": {"name": "trial"},
            "iterations": 6,
            "eval_every": 3,
            "log_every": 1,
            "batch_size": 6,
            "eval_batch_size": 8,
            "device": "cpu",
            **self.config,
            **config,
        }
        return resolve(plugins, [Layer(values)], list(self.settings))

    def load(self, directory: Path) -> LoadedRun:
        """Load the networks that a run of the trial has saved."""
        return load_run(directory, plugins=self.plugins())


class _TrialPlugin:
    """This plugin names what a trial needs, and tells it of every step."""

    def __init__(self, trial: Trial, on_step: Callable[[TrainingRun], None] | None) -> None:
        self.trial, self.on_step = trial, on_step

    @hookimpl
    def mtl_strategies(self) -> dict[str, Any]:
        strategy = self.trial.strategy
        return {} if isinstance(strategy, str) else {"trial": strategy}

    @hookimpl
    def mtl_suites(self) -> dict[str, Any]:
        return {"trial": self.trial.make_suite}

    @hookimpl
    def mtl_backbones(self) -> dict[str, Any]:
        return {"trial": self.trial.make_backbone}

    @hookimpl
    def mtl_step(self, run: TrainingRun) -> None:
        if self.on_step is not None:
            self.on_step(run)
