"""Some strategies measure full sharing first, decide which tasks share what, and train that."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from mtl_framework import (
    Backbone,
    InitialWeights,
    MtlError,
    ParameterCounts,
    RecipeOptimizer,
    Step,
    Strategy,
    TaskNetworks,
    TrainingRun,
    copy_weight,
    forget_moments,
    renumber,
)
from mtl_framework.data import Batch, Suite


class MeasuredConfig(InitialWeights):
    """Every :class:`MeasuredSharing` has these options."""

    measure: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="share of the run, at its beginning, in which tasks share everything and are "
        "measured; the rest of the run trains the sharing that this has decided",
    )
    restart: bool = Field(
        True,
        description="whether the sharing that is decided is trained from scratch, as in the "
        "papers; else every weight goes on as a copy of the one that all tasks shared",
    )
    moments: Literal["copy", "new"] = Field(
        "new",
        description="with restart: false, the optimiser's moments of weights that part: copies of "
        "those of the shared weight, whose gradients were of all tasks, or new ones",
    )
    every: int = Field(
        10,
        ge=1,
        description="number of iterations from one measurement to the next, while tasks share "
        "everything",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of all weights; sgd has a momentum of 0.9"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of all weights")

    @classmethod
    def options_before(cls, saved: Mapping[str, Any]) -> Mapping[str, Any]:
        """Until 27 November 2026 weights that parted took moments along."""
        before = super().options_before(saved)
        return {**before, "moments": "copy"} if saved.get("restart") is False else before


class CandidateNetworks(TaskNetworks):
    """Of these networks' banks the assignment uses a part, and only that part counts as trained."""

    def parameter_counts(self) -> ParameterCounts:
        """Count the parameters that the assignment uses, as trained and as deployed alike."""
        needed = super().parameter_counts().deployed
        return ParameterCounts(needed, needed)


class MeasuredSharing(Strategy, ABC):
    """A first phase measures while all is shared; a second trains the sharing that is decided.

    In the first phase all tasks use weight 0 of every unit. Between the phases all weights, norms
    and heads are drawn anew, and the optimiser forgets its moments; or, with ``restart: false``,
    the weights of a unit become copies of weight 0, with its running averages, heads stay, and no
    output changes.
    """

    config: MeasuredConfig
    network: CandidateNetworks
    decided: bool

    @abstractmethod
    def most_groups(self, backbone: Backbone, suite: Suite) -> int:
        """Return the highest number of groups that tasks can form at a unit.

        Raises:
            MtlError: if options do not fit backbone or suite.
        """

    @abstractmethod
    def start_measuring(self) -> None:
        """Register the sums that :meth:`measure` adds to as state of the strategy."""

    @abstractmethod
    def measure(self, batch: Batch) -> None:
        """Measure on a batch; weights, running averages and random numbers stay as they are."""

    @abstractmethod
    def decide(self) -> Int64[Tensor, "units tasks"]:
        """Return a group number for every unit and task.

        Tasks with equal numbers in a row share that unit.
        """

    @abstractmethod
    def told(self) -> str:
        """Say in one line which sharing was decided."""

    def build(self, backbone: Backbone, suite: Suite) -> CandidateNetworks:
        """Make networks with as many weights at every unit as tasks may form groups.

        Raises:
            MtlError: if options do not fit backbone or suite.
        """
        most = self.most_groups(backbone, suite)
        self.network = network = CandidateNetworks(backbone, suite.tasks, most)
        network.initialize(self.config.initialization_of(backbone))
        config = self.config
        self.optimizer = adam_or_sgd(self, network, config.optimizer, config.learning_rate)
        self.register_state("decided", False)
        self.start_measuring()
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Run both phases; a measurement comes before the step of weights on the same batch."""
        while True:
            if not self.decided and run.iteration >= max(1, self._measured_steps(run.iterations)):
                self._part()
                how = "trained from scratch" if self.config.restart else "copies that go on apart"
                run.hint(f"{self.told()}; {how} from here on")
            batch = run.next_batch()
            if not self.decided and run.iteration % self.config.every == 0:
                self.measure(batch)
            yield Step(self._weight_step(batch))

    def _measured_steps(self, iterations: int) -> int:
        steps = round(self.config.measure * iterations)
        accumulate = self.optimizer.training.accumulate
        return steps - steps % accumulate

    def _weight_step(self, batch: Batch) -> Float[Tensor, "samples tasks"]:
        network = self.network
        network.train()
        self.optimizer.zero_grad()
        losses = network.accumulate_gradients(batch, network.assignment.cpu()[None])
        self.optimizer.step()
        return losses

    @torch.no_grad()
    def _part(self) -> None:
        """Decide, and let tasks use the weights of their own groups."""
        groups = renumber(self.decide())
        if self.config.restart:
            self._draw_anew()
        else:
            for unit, count in enumerate((groups.amax(1) + 1).tolist()):
                for weight in range(1, count):
                    copy_weight(self.network, self.optimizer, unit, 0, weight)
                if count > 1 and self.config.moments == "new":
                    forget_moments(self.network, self.optimizer, unit)
        self.network.assignment.copy_(groups)
        self.optimizer.restart_average()
        self.decided = True

    def _draw_anew(self) -> None:
        """Put freshly drawn weights into the networks, and forget moments."""
        network = self.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            fresh = CandidateNetworks(network.backbone, network.tasks, network.weights_per_unit)
            fresh.initialize(self.config.initialization_of(network.backbone))
        network.load_state_dict(fresh.state_dict())
        self.optimizer.state.clear()

    def length_options(self) -> list[str]:
        """Name the option that says which share of the run is the first phase."""
        return ["strategy.measure"]


def adam_or_sgd(
    strategy: Strategy,
    network: TaskNetworks,
    name: Literal["adam", "sgd"],
    learning_rate: float,
    weight_decay: float = 0.0,
) -> RecipeOptimizer:
    """Make a strategy's optimiser: Adam, or SGD with a momentum of 0.9."""
    if name == "adam":
        return strategy.make_optimizer(network, "adam", learning_rate, weight_decay=weight_decay)
    # timm's name for SGD with momentum, but without Nesterov's
    return strategy.make_optimizer(
        network, "momentum", learning_rate, weight_decay=weight_decay, momentum=0.9
    )


@contextmanager
def undisturbed(network: TaskNetworks) -> Iterator[None]:
    """Restore running averages and random numbers after the code that is run inside."""
    averages = [(buffer, buffer.clone()) for buffer in network.buffers()]
    device = network.device
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        yield
    with torch.no_grad():
        for buffer, value in averages:
            buffer.copy_(value)


def check_several(suite: Suite, strategy: str) -> None:
    """Refuse a suite of one task, because there is nothing to share.

    Raises:
        MtlError: if there is one task only.
    """
    if len(suite) < 2:
        raise MtlError(
            f"strategy {strategy} needs at least two tasks, suite {suite.name!r} has one"
        )
