"""A run is assembled: from a configuration to the networks of a suite's tasks."""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..backbones.backbone import Backbone, PlainBackbone
from ..backbones.build import build_backbone, build_plain
from ..backbones.config import BackboneConfig, PlainBackboneConfig
from ..data.images import RAW, ImageNormalization
from ..data.tasks import Suite, Task
from ..networks.model import MultiTaskModel
from ..plugins.manager import Plugins
from ..strategies.recipe import Recipe
from ..strategies.strategy import Strategy
from ..support.devices import physical_memory
from ..support.errors import MtlError, UnknownNameError
from ..support.validation import KeyPath, validated
from .augmented import with_augmentation
from .config import RunConfig
from .strategy_checks import build_network, build_own_networks
from .task_choices import with_task_choices
from .task_heads import with_heads

_FILES = {"checkpoint_path"}  # arguments by which timm reads weights whatever pretrained says


@dataclass(frozen=True)
class Assembly:
    """An assembly holds a suite, the backbones of its tasks, and the networks built of them.

    ``backbones`` has one entry for each task. Where all tasks share one backbone, each entry is
    that :class:`Backbone`.
    """

    suite: Suite
    backbones: tuple[PlainBackbone, ...]
    strategy: Strategy
    network: MultiTaskModel


def announcement(config: RunConfig, suite: Suite) -> str:
    """Return the line that tells the user what is being built."""
    tasks = f"{len(suite)} task{'s' if len(suite) > 1 else ''} of {suite.name}"
    if not suite.common_backbone:
        own = [task.backbone["name"] for task in suite.tasks if task.backbone is not None]
        unused = f" ({config.backbone.name} is not used)" if len(own) == len(suite) else ""
        names = dict.fromkeys([*own, *([] if unused else [config.backbone.name])])
        return f"building {', '.join(names)} for {tasks}{unused}"
    size = "x".join(map(str, suite.input_shape))
    return f"building {config.backbone.name} for {tasks} ({size})"


def find_suite(config: RunConfig, plugins: Plugins) -> Suite:
    """Make a configuration's suite, with the objectives, metrics and backbones that it chooses.

    Raises:
        MtlError: if the suite cannot be made, or a section names a task that there is not, or a
            choice that does not fit its task.
    """
    made = plugins.suite(config.suite.name)(**config.suite.options)
    chosen = with_heads(with_task_choices(made, config, plugins), config, plugins)
    suite = with_augmentation(chosen, config)
    given = config.task_backbones
    for name in given:
        if name not in suite.task_names:
            raise UnknownNameError("task in task_backbones", name, suite.task_names)
    if not given:
        return suite
    tasks = [
        dataclasses.replace(task, backbone=_merged(task, config, given[task.name]))
        if task.name in given
        else task
        for task in suite.tasks
    ]
    changed = copy.copy(suite)
    changed.tasks, changed.common_backbone = tuple(tasks), False
    return changed


def check_memory(config: RunConfig, suite: Suite) -> None:
    """Raise an error on batches whose inputs alone exceed the machine's memory.

    Raises:
        MtlError: naming ``batch_size``, what a batch needs and what there is.
    """
    available = physical_memory()
    sizes = [task.batch_size or config.batch_size for task in suite.tasks]
    shapes = suite.input_shapes[:1] if suite.common_input else suite.input_shapes
    needed = sum(4 * size * math.prod(shape) for size, shape in zip(sizes, shapes, strict=False))
    if available is not None and needed > available:
        raise MtlError(
            f"batch_size {config.batch_size} is too large: inputs of one batch of suite "
            f"{suite.name!r} need {needed / 2**30:,.0f} GiB, and this machine has "
            f"{available / 2**30:,.0f}"
        )


def assemble(
    config: RunConfig, plugins: Plugins, suite: Suite, strategy: Strategy, trained: bool = False
) -> Assembly:
    """Build the networks; parameters are drawn from torch's global generator.

    Args:
        config: configuration of the run.
        plugins: where backbones are looked up.
        suite: the configuration's suite, from :func:`find_suite`.
        strategy: a strategy that has built nothing yet.
        trained: whether the weights come from a checkpoint; pretrained weights from which training
            once started are then not read, and may be gone.

    Raises:
        MtlError: if a backbone cannot be built, or the strategy cannot share among them.
    """
    name = config.strategy.name
    if trained:
        config = _without_weights(config)
    strategy.recipe = Recipe(config.training, config.iterations)
    if suite.common_backbone:
        backbone = suite_backbone(config.backbone, suite, plugins)
        used = _trained(backbone) if trained else backbone
        network = build_network(name, strategy, used, suite)
        strategy.recipe.check_used(name)
        return Assembly(suite, (backbone,) * len(suite), strategy, network)
    backbones = own_backbones(config, plugins, suite)
    each = [_trained(backbone) for backbone in backbones] if trained else backbones
    network = build_own_networks(name, strategy, each, suite)
    strategy.recipe.check_used(name)
    return Assembly(suite, tuple(backbones), strategy, network)


def suite_backbone(config: BackboneConfig, suite: Suite, plugins: Plugins) -> Backbone:
    """Build the backbone that all tasks of a suite share, for inputs of the suite's shape.

    Raises:
        MtlError: if there is no such model, or it cannot take the inputs.
    """
    shape, dtype = suite.input_shape, suite.tasks[0].train.inputs.dtype
    with plugins.guarded_backbone(config.name) as factory:
        return build_backbone(
            config,
            suite.in_chans,
            (shape[1], shape[2]) if len(shape) == 3 else None,
            factory,
            shape,
            suite.common_input,
            dtype,
        )


def own_backbones(config: RunConfig, plugins: Plugins, suite: Suite) -> list[PlainBackbone]:
    """Build a backbone for every task, its own or the run's; tasks that agree share one object.

    Raises:
        MtlError: naming the task whose backbone does not exist or cannot take the task's inputs.
    """
    made: dict[tuple[object, ...], PlainBackbone] = {}
    backbones = []
    for task in suite.tasks:
        if task.objective.is_map:
            raise MtlError(
                f"task {task.name!r} has maps, whose heads read feature maps of the one backbone "
                "that all tasks share: leave out task_backbones, and suites whose tasks name "
                "backbones"
            )
        values = _run_values(config) if task.backbone is None else task.backbone
        plain = validated(PlainBackboneConfig, values, _path(task))
        examples, outputs = task.train, task.objective.num_outputs
        key = (plain.model_dump_json(), examples.input_shape, examples.inputs.dtype, outputs)
        if key not in made:
            with plugins.guarded_backbone(plain.name) as factory:
                made[key] = build_plain(
                    plain, examples.input_shape, examples.inputs.dtype, outputs, factory
                )
        backbones.append(made[key])
    return backbones


def normalizations(
    suite: Suite, backbones: Sequence[PlainBackbone]
) -> tuple[ImageNormalization, ...]:
    """Return mean and std for every task's images: those of the suite, else of the backbone.

    Images that are floats already are not normalised.
    """
    return tuple(
        RAW
        if task.train.inputs.dtype.is_floating_point
        else task.normalization or ImageNormalization(backbone.mean, backbone.std)
        for task, backbone in zip(suite.tasks, backbones, strict=True)
    )


def joint_name(backbones: Sequence[PlainBackbone]) -> str:
    """Return the names of all different backbones, joined by ``+``."""
    return "+".join(dict.fromkeys(backbone.name for backbone in backbones))


def common_backbone(backbones: tuple[PlainBackbone, ...]) -> Backbone | None:
    """Return the backbone that all tasks share, where they have one."""
    return backbones[0] if isinstance(backbones[0], Backbone) else None


def _merged(task: Task, config: RunConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge what the run's config says of a task's backbone over what the suite says."""
    base = dict(_run_values(config) if task.backbone is None else task.backbone)
    if given.get("name", base["name"]) != base["name"]:
        base = {}  # arguments for another model
    merged = {**base, **given}
    if isinstance(base.get("args"), Mapping) and isinstance(given.get("args"), Mapping):
        merged["args"] = {**base["args"], **given["args"]}
    return merged


def _run_values(config: RunConfig) -> dict[str, Any]:
    """Return the keys of the run's backbone that apply to a backbone of one task."""
    return config.backbone.model_dump(include=set(PlainBackboneConfig.model_fields))


def _path(task: Task) -> KeyPath:
    return ("task_backbones", task.name)


def _trained(backbone: Any) -> Any:
    recipe = dataclasses.replace(backbone.recipe, pretrained=False)
    return dataclasses.replace(backbone, recipe=recipe)


def _without_weights(config: RunConfig) -> RunConfig:
    """Return a config whose backbone reads no file of weights (timm's ``checkpoint_path``)."""
    if not _FILES & set(config.backbone.args):
        return config
    args = {key: value for key, value in config.backbone.args.items() if key not in _FILES}
    backbone = config.backbone.model_copy(update={"args": args})
    return config.model_copy(update={"backbone": backbone})
