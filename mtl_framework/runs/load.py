"""Saved runs are loaded, ready to predict, evaluate and extract."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..backbones.backbone import Backbone, PlainBackbone
from ..backbones.module_backbone import ModuleBackbone
from ..backbones.recurrent import fresh_state
from ..data.placement import usable_workers
from ..data.preprocessing import GivenRows, Preprocessing, in_unit_range
from ..data.tasks import Suite
from ..networks.decoding import decoded
from ..networks.evaluation import Evaluation, evaluate
from ..networks.model import MultiTaskModel
from ..networks.reestimation import set_statistics
from ..plugins.manager import Plugins
from ..strategies.state import check_module_state
from ..strategies.strategy import Strategy
from ..support.devices import resolve_device
from ..support.errors import MtlError, message_of
from ..support.files import kind_of
from ..support.seeding import untouched_generators
from ..support.yamls import read_yaml
from .assembly import assemble, common_backbone, find_suite, normalizations
from .config import RunConfig
from .earlier_runs import remember
from .folder import RunFolder, unchangeable_difference
from .given_objects import give_objects
from .known_data import StandIn, check_known, read_known
from .location import relocated
from .other_suite import as_learned, check_suite, check_tasks
from .progress_state import ProgressState
from .reach import prepare_strategy
from .recorded_splits import transformed_alike, with_recorded_splits, with_recorded_tasks
from .resolve import Layer, former, read_file, resolve
from .seen_in_training import Seen, SeenExamples, check_unseen, seen_in_training
from .task_choices import with_metrics, with_task_choices
from .task_heads import all_installed, with_heads, with_recorded_heads

Which = Literal["last", "best"]


@dataclass(frozen=True)
class LoadedRun:
    """A loaded run has the saved networks, in evaluation mode; :func:`load_run` makes it.

    Args:
        directory: the run's folder.
        config: configuration of the run.
        iteration: number of the step after which the networks were saved.
        suite: the tasks; without their data where the run recorded them: examples are blank.
        backbones: one for each task; where all tasks share one, each entry is that one.
        strategy: the strategy that built the networks.
        network: the networks of all tasks.
        preprocessings: for each task how its inputs are preprocessed.
        device: device of the networks.
        read_suite: builds the suite with its data, and checks that these are the run's.
        adapt: gives another suite the objectives and metrics that the run's config chose.
        known: the run's record of its data; ``None``: it has none.
    """

    directory: Path
    config: RunConfig = field(repr=False)
    iteration: int
    suite: Suite
    backbones: tuple[PlainBackbone, ...] = field(repr=False)
    strategy: Strategy = field(repr=False)
    network: MultiTaskModel = field(repr=False)
    preprocessings: tuple[Preprocessing, ...] = field(repr=False)
    device: torch.device
    read_suite: Callable[[], Suite] = field(repr=False, compare=False)
    adapt: Callable[[Suite], Suite] = field(repr=False, compare=False)
    known: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def backbone(self) -> Backbone:
        """Return the backbone that all tasks have in common.

        Raises:
            MtlError: if tasks have their own: see ``backbones``.
        """
        common = common_backbone(self.backbones)
        if common is None:
            raise MtlError(f"tasks of suite {self.suite.name!r} have backbones of their own")
        return common

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of inputs that all tasks have in common.

        Raises:
            MtlError: if tasks have different ones: see ``preprocessings``.
        """
        if any(other != self.preprocessings[0] for other in self.preprocessings):
            raise MtlError(f"tasks of suite {self.suite.name!r} have different inputs")
        return self.preprocessings[0]

    def predict(self, task: int | str, inputs: GivenRows) -> Float[Tensor, "rows *outputs"]:
        """Predict for one task: logits, numbers or levels for inputs as the suite has them.

        Logits become probabilities by ``run.suite.tasks[n].objective.probabilities``.

        A recurrent network starts from its initial state: rows are the beginnings of streams.

        Args:
            task: name or position.
            inputs: (N, ...) of the task's shape, a tensor or a numpy array; images (N, C, H, W) as
                uint8, or floats as the suite has them, usually from 0 to 1.

        Raises:
            MtlError: if there is no such task, or inputs have another shape or are no numbers.
        """
        number = self.suite.index(task)
        return self.suite.tasks[number].objective.decode(self.outputs(task, inputs))

    def outputs(self, task: int | str, inputs: GivenRows) -> Float[Tensor, "rows *outputs"]:
        """Return the raw outputs of one task's head; :meth:`predict` decodes them.

        Raises:
            MtlError: if there is no such task, or inputs have another shape or are no numbers.
        """
        number = self.suite.index(task)
        with torch.no_grad(), fresh_state(self.network):
            prepared = self.preprocessings[number](inputs).to(self.device)
            return self.network.predict(number, prepared)

    def extract(self, task: int | str) -> nn.Module:
        """Extract one task's network as a module of its own, on the CPU, in evaluation mode.

        It reads preprocessed inputs: ``run.extract(0)(run.preprocessings[0](inputs))``. Its outputs
        are in the units of the targets, as those of :meth:`predict` are.

        Raises:
            MtlError: if there is no such task.
        """
        number = self.suite.index(task)
        return decoded(
            self.network.extract(number), self.suite.tasks[number].objective, self.backbones[number]
        )

    def seen_in_training(self, suite: Suite) -> list[SeenExamples]:
        """Look for examples of the run's training split in another suite's validation and test.

        Raises:
            MtlError: if the run's record of its data is damaged, or ``suite`` is none.
        """
        check_suite(suite)
        return seen_in_training(self.known, suite)

    def evaluate(self, suite: Suite | None = None, seen: Seen = "refuse") -> Evaluation:
        """Evaluate on the validation and test examples of a suite; default: the run's own.

        Args:
            suite: a suite with the same tasks as the networks; ``None`` takes the run's own.
            seen: whether test images on which the networks were trained are refused; with ``allow``
                they are measured, and :meth:`seen_in_training` says which they are.

        Raises:
            MtlError: if the suite's tasks are not those of the networks, the run's own validation
                or test examples have changed, or test images were in the run's training split.
        """
        if suite is None:
            suite = self.read_suite()
            check_tasks(suite, self.suite)
        else:
            check_suite(suite)
            suite = as_learned(self.adapt(suite), self.suite)
            check_tasks(suite, self.suite)
            if seen == "refuse":
                check_unseen(self.seen_in_training(suite))
        return evaluate(
            self.network,
            suite,
            self.iteration,
            self.device,
            self.config.eval_batch_size,
            normalizations(suite, self.backbones),
            usable_workers(self.config.data_workers),
        )


def load_run(
    path: str | Path,
    *,
    which: Which = "last",
    device: str = "cpu",
    plugins: Plugins | None = None,
    data_root: str | None = None,
    strategy: type[Strategy] | None = None,
    backbone: nn.Module | ModuleBackbone | None = None,
    suite: Suite | None = None,
) -> LoadedRun:
    """Load the networks of a run.

    The data is read only by :meth:`LoadedRun.evaluate`, and for runs that recorded no tasks: those
    of earlier versions, and with objectives of plugins. The run's strategy has to be installed.
    Nothing in the folder is changed, and nothing from it is executed.

    Args:
        path: the run's folder.
        which: ``"last"``: those after the last step; ``"best"``: those that validation preferred.
        device: where to put the networks.
        plugins: where names are looked up; default: all installed ones.
        data_root: folder of the suite's files; default: where they were.
        strategy: the class, where the run was made with a class from Python.
        backbone: the module, where the run was made with a module.
        suite: the suite, where it was made with one; only :meth:`LoadedRun.evaluate` needs it.

    Raises:
        MtlError: if there is no run, a file is damaged, or names or options do not fit.
    """
    folder = RunFolder(Path(path))
    state = _state(folder, which)
    plugins = Plugins.load() if plugins is None else plugins
    saved = read_file(folder.config)
    give_objects(saved, plugins, strategy=strategy, backbone=backbone, suite=suite)
    moved = {} if data_root is None else {"suite": relocated(saved.values["suite"], data_root)}
    complete = resolve(plugins, [former(saved, plugins), Layer(moved)])
    config, target = complete.config, resolve_device(device)
    known, tasks, from_files = _tasks(folder, config, plugins)
    remember(complete.options, folder.earlier)
    with untouched_generators(target):
        built = complete.strategy(complete.options, seed=0)
        parts = assemble(config, plugins, tasks, built, trained=True)
        network = built.network = parts.network
        prepare_strategy(built, config, torch.device("cpu"))
        _restore(built, network, state, folder, which)
    return LoadedRun(
        folder.path,
        config,
        int(state["iteration"]),
        tasks,
        parts.backbones,
        built,
        network.to(target).eval(),
        _preprocessings(tasks, parts.backbones, from_files),
        target,
        functools.partial(_read_suite, config, plugins, known),
        functools.partial(with_task_choices, config=config, plugins=plugins),
        known,
    )


def _tasks(
    folder: RunFolder, config: RunConfig, plugins: Plugins
) -> tuple[Mapping[str, Any] | None, Suite, Sequence[bool]]:
    """Return the run's record of its tasks, their suite, and which tasks image files fit."""
    known = read_known(folder.tasks)
    theirs = known is not None and known.get("tasks", {}) is None  # which only their suite can make
    try:
        stand_in = None if known is None or theirs else StandIn.of(known)
    except MtlError as error:
        raise MtlError(f"{folder.tasks} is damaged: {error}") from error
    if stand_in is None or not all_installed(stand_in.heads, plugins):
        suite = find_suite(config, plugins)
        if known is not None and theirs:
            check_known(known, suite, todo="; these networks need the data that they began with")
        return known, suite, [in_unit_range(task.train.inputs) for task in suite.tasks]
    suite = with_recorded_heads(with_metrics(stand_in.suite, config), stand_in.heads, plugins)
    return known, with_heads(suite, config, plugins), stand_in.from_files


def _preprocessings(
    suite: Suite, backbones: Sequence[PlainBackbone], from_files: Sequence[bool]
) -> tuple[Preprocessing, ...]:
    each = normalizations(suite, backbones)
    return tuple(
        Preprocessing(
            backbone.input_shape,
            *normalization,
            backbone.input_dtype,
            task.image_transform,
            task.pictures,
            image,
        )
        for task, backbone, normalization, image in zip(
            suite.tasks, backbones, each, from_files, strict=True
        )
    )


def _read_suite(config: RunConfig, plugins: Plugins, known: Mapping[str, Any] | None) -> Suite:
    measured = ("validation", "test")
    suite = find_suite(config if known is None else transformed_alike(config), plugins)
    if known is not None:
        todo = (
            "; put the data back, or measure these networks on it as it is with --suite NAME "
            "--set OPTION=VALUE"
        )
        try:
            suite = with_recorded_tasks(suite, known)
            suite = with_recorded_splits(suite, known["examples"], measured)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MtlError(f"tasks.json of the run is damaged ({error})") from error
        check_known(known, suite, measured, todo)
    return suite


def _state(folder: RunFolder, which: Which) -> dict[str, Any]:
    """Read a checkpoint of the run, with ``iteration``."""
    if kind_of(folder.config) != "file":
        raise MtlError(f"there is no run in {folder.path} (no config.yaml)")
    iteration = folder.checkpoints.latest(which)
    if iteration is None:
        ended = kind_of(folder.result) is not None
        hint = "; only runs with validation examples have one" if which == "best" else ""
        hint = f"{hint}; which a run keeps is its option `keep`" if ended else hint
        raise MtlError(f"run {folder.path} has no {which!r} checkpoint{hint}")
    state = folder.checkpoints.load(which, iteration)
    where = folder.checkpoints.stem(which, iteration)
    saved, here = state.get("config"), read_yaml(folder.config)[0]
    if not isinstance(saved, dict):
        raise MtlError(f"checkpoint {where} is not that of a run")
    difference = unchangeable_difference(saved, here)
    if difference is not None:
        key, was, now = difference
        raise MtlError(
            f"{folder.config} does not belong to checkpoint {where}: {key} is {now}, it was {was}"
        )
    return {**state, "iteration": iteration}


def _restore(
    strategy: Strategy,
    network: MultiTaskModel,
    state: dict[str, Any],
    folder: RunFolder,
    which: Which,
) -> None:
    try:
        if which == "best":
            check_module_state(network, state["network"], "network")
            network.load_state_dict(state["network"])
        else:
            strategy.load_state_dict(state["strategy"])
            strategy.recipe.use_averages()
            set_statistics(network, ProgressState.from_plain(state).statistics or {})
    except Exception as error:  # what a strategy says of a state that is not its own
        where = folder.checkpoints.stem(which, state["iteration"])
        reason = message_of(error)[:300]
        raise MtlError(f"checkpoint {where} does not fit this run: {reason}") from error
