"""The training recipe is what the host gives a strategy to move its weights with."""

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import timm.optim
import torch

from ..networks.evaluation import Evaluation
from ..networks.model import MultiTaskModel
from ..networks.used_optimizer import UsedOptimizer
from ..support.errors import MtlError, UnknownNameError, message_of
from .averaging import WeightAverage
from .parameter_groups import Group, parameter_groups
from .recipe_optimizer import RecipeOptimizer
from .schedules import learning_rates, make_schedule
from .training import TrainingConfig

_TIMM: Any = timm.optim
_DEVICES = ("cpu", "cuda")
_HOSTS_OWN = ("stop_after", "report", "weighting")  # what needs no optimiser of the host's
# those need a loss's curvature, or another library's kernels
_LEFT_OUT = ("adahessian", "fused", "bnb")


class Recipe:
    """A recipe is the section ``training`` of a run's config, as a strategy uses it.

    A strategy reaches it through :meth:`Strategy.make_optimizer`; the host tells it of evaluations
    and asks it for the averaged weights.

    Args:
        training: the section ``training``.
        iterations: number of steps of the run, which schedules are laid out for.

    Attributes:
        made: the optimisers made so far.
        used: what the first of them is, that of the weights.
    """

    def __init__(self, training: TrainingConfig | None = None, iterations: int = 1) -> None:
        self.training = TrainingConfig() if training is None else training
        self.iterations = iterations
        self.made: list[RecipeOptimizer] = []
        self.used: UsedOptimizer | None = None
        self._left: list[float] | None = None

    @property
    def averages(self) -> bool:
        """Say whether there are averaged weights, which evaluations and predictions should use."""
        average = self.training.average
        return average is not None and average.evaluate != "raw" and bool(self.made)

    @property
    def evaluates_both(self) -> bool:
        """Say whether raw weights are evaluated beside the averaged ones."""
        average = self.training.average
        return self.averages and average is not None and average.evaluate == "both"

    def make_optimizer(
        self,
        network: MultiTaskModel,
        name: str = "adam",
        learning_rate: float = 1e-3,
        *,
        groups: Iterable[Group] | None = None,
        weight_decay: float = 0.0,
        **options: Any,
    ) -> RecipeOptimizer:
        """Make an optimiser as the user wants it, else as the strategy chooses.

        Args:
            network: the network whose weights it moves.
            name: name of the strategy's optimiser, as in timm.
            learning_rate: learning rate of the strategy.
            groups: parameters with options of their own, as in ``torch.optim``; default: all of the
                network's. In a group ``lr`` is a rate of its own, which schedules scale;
                ``lr_scale`` is a factor of the learning rate.
            weight_decay: weight decay of the strategy, for all parameters.
            options: further options of the strategy's optimiser, left out where the user names
                another optimiser.

        Raises:
            MtlError: if optimiser, options, schedule or factors do not exist or do not fit.
        """
        training = self.training
        wanted = training.optimizer
        if wanted is not None:
            options = {**(options if wanted.name == name else {}), **wanted.options}
            name = wanted.name
        rate = learning_rate if training.learning_rate is None else training.learning_rate
        given = [{"params": list(network.parameters())}] if groups is None else groups
        split = parameter_groups(network, given, training, weight_decay)
        inner = _create(name, split, rate, options)
        optimizer = RecipeOptimizer(
            inner,
            training,
            make_schedule(inner, training.schedule, self.iterations),
            None
            if training.average is None
            else WeightAverage(network, training.average, training.accumulate),
            network.parts_of_tasks(),
        )
        if self.iterations % training.accumulate:
            raise MtlError(
                f"training.accumulate should divide the {self.iterations} iterations, so that "
                f"every step moves the weights, found {training.accumulate}"
            )
        if not self.made:  # further ones move something else
            decay = training.weight_decay
            self.used = UsedOptimizer(
                name, rate, weight_decay if decay is None else decay, _told(name, inner, options)
            )
        self.made.append(optimizer)
        return optimizer

    def check_used(self, strategy: str) -> None:
        """Refuse a recipe that a strategy with optimisers of its own would ignore.

        Raises:
            MtlError: naming the keys that would have no effect.
        """
        plain = TrainingConfig()
        ignored = [
            f"training.{key}"
            for key in TrainingConfig.model_fields
            if key not in _HOSTS_OWN and getattr(self.training, key) != getattr(plain, key)
        ]
        if ignored and not self.made:
            raise MtlError(
                f"strategy {strategy!r} makes its own optimiser, so that {', '.join(ignored)} "
                "would have no effect: leave it out, or use Strategy.make_optimizer"
            )

    def evaluated(self, evaluation: Evaluation) -> None:
        """Let schedules that follow validation know of an evaluation.

        Raises:
            MtlError: if there is one, and no validation.
        """
        for optimizer in self.made:
            optimizer.evaluated(evaluation)

    def rate_left(self, share: float) -> float:
        """Return the share of the run's summed learning rate behind a share of its iterations.

        After three quarters of a run with a cosine that falls to 0 it is 0.025: what begins there
        hardly moves the weights. It is that of the first optimiser.

        Args:
            share: share of the iterations, from 0 to 1.
        """
        if self._left is None:
            rate = 1.0 if self.used is None else self.used.learning_rate
            rates = learning_rates(self.training.schedule, rate, self.iterations)
            self._left = [*accumulate(reversed(rates), initial=0.0)][::-1]  # from each step on
        first = min(self.iterations, math.ceil(share * self.iterations))
        return self._left[first] / self._left[0] if self._left[0] else 1 - share

    def use_averages(self) -> None:
        """Put the averaged weights in the networks' place for good, as predictions need them."""
        for average in self._averages():
            average.swap()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the networks their averaged weights inside, where the recipe evaluates those."""
        averages = self._averages()
        for average in averages:
            average.swap()
        try:
            yield
        finally:
            for average in averages:
                average.swap()

    def _averages(self) -> list[WeightAverage]:
        return [o.average for o in self.made if self.averages and o.average is not None]


def _told(name: str, inner: torch.optim.Optimizer, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a config holds them, without what it would have by itself.

    What no config can hold is left out, too.
    """
    usual = inspect.signature(type(inner)).parameters
    changed = _TIMM.get_optimizer_info(name).defaults or {}  # timm's, of a class of torch's
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in options.items()
        if isinstance(value, bool | int | float | str | list | tuple | None)
        and (key in changed or key not in usual or usual[key].default != value)
    }


def optimizer_names() -> list[str]:
    """Return the names of all optimisers that ``training.optimizer`` takes."""
    return [name for name in _TIMM.list_optimizers() if not name.startswith(_LEFT_OUT)]


def _create(
    name: str, groups: list[Group], learning_rate: float, options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    if name not in optimizer_names():
        raise UnknownNameError("optimizer in training", name, optimizer_names())
    plain = _TIMM.get_optimizer_class(name, bind_defaults=False)
    taken = inspect.signature(plain).parameters
    for option in options:
        if option not in taken or option in ("params", "lr", "weight_decay"):
            choices = [n for n in taken if n not in ("params", "lr", "weight_decay")]
            raise UnknownNameError(f"option of training.optimizer {name!r}", option, choices)
    tensors = [p for group in groups for p in group["params"]]
    # torch's fused SGD fails where some weights have a momentum and others are used for the first
    # time, as weights of banks are
    fusible = "fused" in taken and not issubclass(plain, torch.optim.SGD)
    fused = fusible and all(p.device.type in _DEVICES for p in tensors)
    try:
        optimizer: torch.optim.Optimizer = _TIMM.create_optimizer_v2(
            groups,
            opt=name,
            lr=learning_rate,
            **{**({"fused": True} if fused else {}), **options},
        )
    except (TypeError, ValueError, RuntimeError, ImportError, AssertionError) as error:
        reason = message_of(error)
        raise MtlError(f"training.optimizer {name!r} cannot be made: {reason}") from error
    return optimizer
