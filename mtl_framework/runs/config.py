"""A schema says what a run's configuration may hold."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..backbones.config import BackboneConfig, _one_or_more
from ..data.augmentation import AugmentationConfig
from ..data.head_choice import DEFAULT_NAME, DEFAULT_OPTIONS
from ..plugins.options import NamedOptions
from ..strategies.training import TrainingConfig
from ..support.validation import validated
from ..support.yamls import dump_yaml

MOST = 2**31 - 1  # largest value of options that count something

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def _check_device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise ValueError("should be auto, cpu, mps, cuda or cuda:N")
    return value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Observer = Annotated[NamedOptions, BeforeValidator(_named)]
TaskBackbone = Annotated[dict[str, Any], BeforeValidator(_named)]
TaskHead = Annotated[dict[str, Any], BeforeValidator(_named)]


class TaskMetrics(BaseModel):
    """This section says which metrics one task reports, or all tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    main: str | None = Field(
        default=None,
        description="metric by which networks are chosen and compared; default: error, rmse, "
        "perplexity or mae",
    )
    report: Annotated[tuple[str, ...] | None, BeforeValidator(_one_or_more)] = Field(
        default=None,
        description="metrics that are reported beside the main one; default: all that the task has",
    )


class RunConfig(BaseModel):
    """This is the configuration of a run: everything that determines it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: NamedOptions = Field(
        default=NamedOptions(name="lws"),
        description="how tasks share weights: a name, or a mapping with name and options",
    )
    backbone: BackboneConfig = Field(
        default=BackboneConfig(),
        description="the network that tasks share: a name, or a mapping with name and further keys",
    )
    task_backbones: dict[str, TaskBackbone] = Field(
        default_factory=dict,
        description="backbones of single tasks, by task name: a name, or a mapping with name, "
        "pretrained, small_images and args; they take precedence over backbones that the suite "
        "names",
    )
    suite: NamedOptions = Field(
        default=NamedOptions(name="alphabets"),
        description="the tasks and their data: a name, or a mapping with name and options",
    )
    training: TrainingConfig = Field(
        default=TrainingConfig(),
        description="how weights are trained: optimiser, learning-rate schedule, weight averaging, "
        "and "
        "which networks are reported",
    )
    objectives: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="loss of single tasks, by task name, or of all tasks, by the key all: name and "
        "options of an objective, e.g. objectives.all.label_smoothing=0.1; an option at all "
        "applies to the tasks whose objective has it",
    )
    heads: dict[str, TaskHead] = Field(
        default_factory=dict,
        description="decoder of tasks whose outputs are maps, by task name, or of all such tasks, "
        "by "
        "the key all: a name, or a mapping with name and options, e.g. heads.all=segformer; "
        "default: that of the suite, else default_head",
    )
    auxiliary_heads: dict[str, TaskHead] = Field(
        default_factory=dict,
        description="further decoder in training of tasks whose outputs are maps, by task name, or "
        "of all such tasks, by the key all: a name, or a mapping with name, loss_weight (default: "
        "0.4) and options, e.g. auxiliary_heads.all=fcn; it reads all maps but the deepest",
    )
    shared_heads: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="groups of tasks that use one head, by name, e.g. "
        "shared_heads=[[letters,digits]]; tasks of a group have as many outputs of one kind",
    )
    default_head: TaskHead = Field(
        default_factory=lambda: {"name": DEFAULT_NAME, **DEFAULT_OPTIONS},
        description="decoder of tasks with maps for which neither heads nor the suite chooses one; "
        "runs record it, so that they stay what they are when the default changes",
    )
    augmentation: dict[str, AugmentationConfig] = Field(
        default_factory=dict,
        description="augmentation of training images, by task name, or of all tasks, by the key "
        "all, "
        "e.g. augmentation.all.policy=rand-m9-mstd0.5; what stands at all applies to the tasks "
        "whose inputs and targets it fits",
    )
    metrics: dict[str, TaskMetrics] = Field(
        default_factory=dict,
        description="metrics of single tasks, by task name, or of all tasks, by the key all: main "
        "and "
        "report, e.g. metrics.all.main=accuracy; what stands at all applies to the tasks that have "
        "such a metric",
    )
    iterations: int = Field(
        default=300, ge=1, le=MOST, description="number of steps of the strategy's training loop"
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="seed of everything that is random: initial weights, batches, and what the "
        "strategy samples",
    )
    batch_size: int = Field(
        default=16,
        ge=1,
        le=MOST,
        description="number of training examples of each task in a batch, unless the task has a "
        "number of its own",
    )
    device: Annotated[str, AfterValidator(_check_device)] = Field(
        default="auto", description="device that trains: auto, cpu, mps, cuda or cuda:N"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="number format of forward passes: fp32, or bf16 by autocast"
    )
    eval_every: int = Field(
        default=100, ge=1, le=MOST, description="number of iterations between evaluations"
    )
    eval_batch_size: int = Field(
        default=256,
        ge=1,
        le=MOST,
        description="number of examples in a forward pass when evaluating",
    )
    reestimate_statistics: int = Field(
        default=0,
        ge=0,
        le=MOST,
        description="number of training batches by which running averages of batch norms are "
        "measured anew before every evaluation; 0: evaluate with those of training",
    )
    log_every: int = Field(
        default=10, ge=1, le=MOST, description="number of iterations between lines of metrics.jsonl"
    )
    observers: Annotated[tuple[Observer, ...], BeforeValidator(_one_or_more)] = Field(
        default=(),
        description="observers that are told of the run's progress, e.g. tensorboard: names, or "
        "mappings "
        "with name and options",
    )
    keep_on_device: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="where inputs are kept: always: in the device's memory; never: they are read "
        "by "
        "worker processes when they are needed; auto: in the device's memory up to 2 GiB, else "
        "read when needed; batches are the same either way",
    )
    data_workers: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="number of processes that read images from files; default: one a spare CPU "
        "core, at most 4; 0: the run's own process reads them",
    )
    keep: Literal["last", "best", "both", "none"] = Field(
        default="both",
        description="checkpoints that stay when the run has ended: last: that of the last step, "
        "from "
        "which the run can be resumed; best: that of the best validation metric; both; none; "
        "default in a comparison: none",
    )
    memory_budget: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="memory for the activations of one pass, in MiB; larger passes run in "
        "micro-batches; default: no limit",
    )
    batched_weights: bool = Field(
        default=False,
        description="whether all weights of a unit run in one call, which starts fewer kernels on "
        "a GPU and needs a copy of its weight for every path: for small units and many weights",
    )
    cuda_graphs: bool = Field(
        default=False,
        description="whether, on a GPU, a step whose assignment is that of the steps before it is "
        "recorded once as a CUDA graph and replayed from then on: for small networks, whose "
        "kernels take longer to start than to run; a recording holds memory of its own",
    )


def check_config(values: Mapping[str, Any]) -> RunConfig:
    """Make a run's configuration of plain values; options of plugins are not checked here.

    Raises:
        MtlError: naming the first key that is wrong, its value and what is allowed.
    """
    return validated(RunConfig, values)


def dump(config: RunConfig) -> str:
    """Write the configuration as YAML, which :func:`mtl_framework.runs.resolve.read_file` reads."""
    return dump_yaml(config.model_dump(mode="json"))
