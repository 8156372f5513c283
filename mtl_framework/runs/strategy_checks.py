"""Checks that a strategy keeps its contract, with messages that name it."""

from collections.abc import Callable, Generator, Mapping, Sequence

import torch

from ..backbones.backbone import Backbone, PlainBackbone
from ..data.tasks import Suite
from ..networks.model import MultiTaskModel
from ..networks.task_networks import TaskNetworks
from ..strategies.optimizers import keep_formats
from ..strategies.step import Step
from ..strategies.strategy import Strategy, needs_one_backbone
from ..support.errors import MtlError


def build_network(
    name: str, strategy: Strategy, backbone: Backbone, suite: Suite
) -> MultiTaskModel:
    """Let the strategy build its networks of one backbone for all tasks.

    Raises:
        MtlError: if it returns no :class:`MultiTaskModel`, or one without the auxiliary heads that
            a task has; or if it needs tasks that read the same inputs, and these have their own.
    """
    if strategy.needs_common_input and len(suite) > 1 and not suite.common_input:
        raise MtlError(
            f"strategy {name!r} compares tasks on the same examples; tasks of suite {suite.name!r} "
            "have inputs of their own"
        )
    network = _checked(name, strategy, "build", strategy.build(backbone, suite))
    _check_heads(name, network, suite)
    return network


def build_own_networks(
    name: str, strategy: Strategy, backbones: Sequence[PlainBackbone], suite: Suite
) -> MultiTaskModel:
    """Let the strategy build its networks of the tasks' own backbones.

    Raises:
        MtlError: if the strategy needs one backbone for all tasks, or builds something else.
    """
    if type(strategy).build_each is Strategy.build_each:
        raise needs_one_backbone(name, suite)
    network = _checked(name, strategy, "build_each", strategy.build_each(backbones, suite))
    _check_heads(name, network, suite)
    return network


def _check_heads(name: str, network: MultiTaskModel, suite: Suite) -> None:
    """Only task networks know auxiliary heads, and heads that tasks share."""
    if isinstance(network, TaskNetworks):
        return
    for task in suite.tasks:
        if task.head is not None and task.head.auxiliary is not None:
            raise MtlError(
                f"strategy {name!r} trains no auxiliary head, as task {task.name!r} has one: leave "
                "out auxiliary_heads"
            )
        if task.head_of is not None:
            raise MtlError(
                f"strategy {name!r} cannot let tasks share a head, as {task.head_of!r} and "
                f"{task.name!r} should: leave out shared_heads"
            )


def _checked(name: str, strategy: Strategy, method: str, network: object) -> MultiTaskModel:
    if not isinstance(network, MultiTaskModel):
        raise MtlError(
            f"strategy {name!r}: {method} should return a MultiTaskModel, found "
            f"{type(network).__name__}"
        )
    keep_formats(strategy)
    return network


class Steps:
    """This class does a strategy's loop, one step at a time.

    Args:
        name: name of the strategy.
        loop: what its ``optimize`` returned.
        during: gets a step's number, from 1, and a function that does the step, whose value it
            returns; it may look on.

    Raises:
        MtlError: if that is not a generator.
    """

    def __init__(
        self,
        name: str,
        loop: object,
        during: Callable[[int, Callable[[], object]], object] = lambda _, step: step(),
    ) -> None:
        if not isinstance(loop, Generator):
            raise MtlError(
                f"strategy {name!r}: optimize should be a generator that yields a Step an "
                f"iteration, found {type(loop).__name__}"
            )
        self._name = name
        self._loop = loop
        self._during = during

    def next(self, number: int = 1) -> Step | None:
        """Do an iteration; ``None`` where the strategy has ended its training.

        Args:
            number: number of the step in the run, from 1.

        Raises:
            MtlError: if it yields something else than a step.
        """
        try:
            step = self._during(number, lambda: next(self._loop))
        except StopIteration:
            return None
        if isinstance(step, Step) and isinstance(step.loss, torch.Tensor) and step.loss.numel():
            self._check_metrics(step.metrics)
            return step
        shown = f"Step(loss={step.loss!r})" if isinstance(step, Step) else repr(step)
        raise MtlError(
            f"strategy {self._name!r} yielded {shown[:80]}; optimize should yield Step(loss=...) "
            "with a tensor of at least one number"
        )

    def _check_metrics(self, metrics: object) -> None:
        if not isinstance(metrics, Mapping):
            raise MtlError(
                f"strategy {self._name!r} yielded metrics that are no mapping of numbers by name, "
                f"found {type(metrics).__name__}"
            )
        for name, value in metrics.items():
            if not isinstance(name, str) or not _is_number(value):
                raise MtlError(
                    f"strategy {self._name!r} yielded the metric {name!r} that is no number or "
                    f"tensor of numbers, found {type(value).__name__}"
                )

    def close(self) -> None:
        """End the loop; what the strategy does in ``finally`` happens now."""
        self._loop.close()


def _is_number(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return not value.is_complex()
    kind = getattr(getattr(value, "dtype", None), "kind", None)  # numpy's
    if kind is not None:
        return kind in "biuf"
    if isinstance(value, list | tuple):
        return all(map(_is_number, value))
    return isinstance(value, bool | int | float)


def check_replacement(name: str, old: MultiTaskModel, new: MultiTaskModel) -> None:
    """Raise an error if a strategy replaces its networks by some with other tensors.

    Args:
        name: name of the strategy.
        old: the networks that it has built.
        new: the networks that it has put in their place.

    Raises:
        MtlError: if their tensors differ in name, shape or dtype.
    """
    shapes = [
        {key: (tensor.shape, tensor.dtype) for key, tensor in network.state_dict().items()}
        for network in (old, new)
    ]
    if shapes[0] != shapes[1]:
        raise MtlError(
            f"strategy {name!r} replaced its network by one of other tensors, which no checkpoint "
            "could be loaded into: build it in `build`"
        )
