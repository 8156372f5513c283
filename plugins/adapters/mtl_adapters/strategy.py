"""Tasks share a trunk and have small adapters beside its layers: own, shared, given or learned.

Rebuffi, Bilen and Vedaldi, "Learning Multiple Visual Domains with Residual Adapters", NeurIPS 2017,
arXiv 1705.08045 (series), and "Efficient Parametrization of Multi-domain Deep Neural Networks",
CVPR 2018, arXiv 1803.10082 (parallel). Low-rank adapters are those of Hu et al., "LoRA", ICLR 2022,
arXiv 2106.09685; that each task chooses one of several at every unit is an idea of this project.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mtl_framework import (
    Backbone,
    GivenAssignment,
    InitialWeights,
    MtlError,
    SearchDistribution,
    Step,
    Strategy,
    StrategyConfig,
    TrainedRun,
    TrainingRun,
    renumber,
)
from mtl_framework.data import Batch, Suite

from .config import AdaptersConfig, SearchOptions
from .network import AdapterNetworks
from .preparing import Preparing
from .sizes import AdapterSizes


class Adapters(Strategy):
    """Tasks share a trunk, and each task uses one of several sets of small adapters at every unit.

    With ``assignment: learned`` the search of learned weight sharing (Prellberg and Kramer, 2020)
    decides which adapters each task uses. The preset ``paper`` has the values of the published code
    of residual adapters.
    """

    Config: ClassVar[type[StrategyConfig]] = AdaptersConfig
    config: AdaptersConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "adapters",
                "kind": "parallel",
                "start": "normal",
                "optimizer": "sgd",
                "learning_rate": 0.1,
                "weight_decay": 5e-4,
                "adapter_decay": 1e-4,
            },
            "backbone": {"normalization": "task"},
        }
    }

    network: AdapterNetworks

    @classmethod
    def given_options(
        cls, config: StrategyConfig, matrix: Sequence[Sequence[int]]
    ) -> dict[str, Any]:
        """Have the options of the run, but for its search, and the assignment as it is given."""
        searched = set(SearchOptions.model_fields) - set(InitialWeights.model_fields)
        kept = config.model_dump(mode="json", exclude=searched)
        return {**kept, "assignment": {"matrix": [list(row) for row in matrix]}}

    def build(self, backbone: Backbone, suite: Suite) -> AdapterNetworks:
        """Make a trunk with K adapters at every unit, and the search distribution if one is used.

        Raises:
            MtlError: if options do not fit the backbone, the suite or each other.
        """
        config = self.config
        preparing = Preparing(backbone, config)
        groups = self._groups(backbone, suite)
        has_own = torch.tensor([bool(own) or config.own_norms for own in preparing.chosen])
        groups = groups * has_own[:, None]
        pretrained = backbone.recipe.pretrained or config.start_from is not None
        frozen = pretrained if config.trunk == "auto" else config.trunk == "frozen"
        self.distribution: SearchDistribution | None = None
        if config.assignment == "learned":
            weights = config.weights_per_unit or len(suite)
            _check_room(weights, config.p_min)
            counts = [weights if own else 1 for own in has_own.tolist()]
            self.distribution = SearchDistribution.uniform(counts, len(suite))
            groups = self.distribution.mode()
        else:
            groups = renumber(groups)
            counts = (groups.amax(1) + 1).tolist()
        self.network = network = AdapterNetworks(backbone, suite, counts, preparing, frozen)
        network.initialize(config.initialization_of(backbone))
        network.assignment.copy_(groups)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.sizes = AdapterSizes(network)
        self._make_optimizer(network)
        return network

    def _make_optimizer(self, network: AdapterNetworks) -> None:
        config = self.config
        matrices = network.adapters()
        rest = [p for p in network.parameters() if p not in set(matrices)]
        own = {} if config.adapter_decay is None else {"weight_decay": config.adapter_decay}
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": matrices, **own}]
        momentum = {"momentum": 0.9} if config.optimizer == "sgd" else {}
        self.optimizer = self.make_optimizer(
            network,
            # timm's name for SGD with momentum, but without Nesterov's
            "momentum" if config.optimizer == "sgd" else "adam",
            config.learning_rate,
            groups=[group for group in groups if group["params"]],
            weight_decay=config.weight_decay,
            **momentum,
        )

    def _groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """Return which tasks share adapters at the start: those with equal numbers in a row."""
        given = self.config.assignment
        if isinstance(given, GivenAssignment):
            return given.groups([unit.name for unit in backbone.units], suite.task_names)
        own = torch.arange(len(suite)).repeat(len(backbone.units), 1)
        return own if given == "own" else torch.zeros_like(own)

    def warm_start(self, load: Callable[[str], TrainedRun]) -> None:
        """Take the trunk from the run that ``start_from`` names."""
        if self.config.start_from is not None:
            self.network.load_trunk(self.config.start_from, self.config.start_task, load)

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train the weights; a learned assignment has a step of the search before each step."""
        self._say_where_adapters_are_large(run)
        while True:
            metrics: dict[str, Tensor | float] = {}
            if self.distribution is not None:
                searched = self.search_step(self.distribution, run.next_batch())
                metrics = {"nes_loss": searched.mean(), "entropy": self.distribution.entropy()}
            yield Step(self.weight_step(run.next_batch()), metrics)

    def _say_where_adapters_are_large(self, run: TrainingRun) -> None:
        """Hint at low ranks where 1x1 adapters stand beside dense layers, as large as these."""
        trunk, beside = (sum(counts) for counts in self.sizes.by_unit())
        if self.config.kind in ("parallel", "series") and 2 * beside > trunk:
            run.hint(
                f"adapters: those of one task have {beside:,} weights, the units' trunk has "
                f"{trunk:,}, as they are as large as dense layers: kind: low_rank has fewer"
            )

    def search_step(
        self, distribution: SearchDistribution, batch: Batch
    ) -> Float[Tensor, "samples tasks"]:
        """Draw assignments, rank them by their mean loss over tasks, and move the distribution.

        Args:
            distribution: the distribution that assignments are drawn from.
            batch: the batch that all of them are evaluated on, without gradients.

        Returns:
            (samples, tasks): the losses of the tasks under every assignment.
        """
        config, network = self.config, self.network
        network.eval()
        assignments = distribution.sample(config.nes_samples, self.generator)
        with torch.no_grad():
            losses = network.averaged_losses(batch, network.losses(batch, assignments))
        distribution.step(assignments, losses.mean(1).cpu(), config.nes_learning_rate, config.p_min)
        network.assignment.copy_(distribution.mode())
        return losses

    def weight_step(self, batch: Batch) -> Float[Tensor, "samples tasks"]:
        """Do a step of the optimiser for adapters, norms, heads and a trunk that is trained.

        Returns:
            (samples, tasks): the losses before the step, under every assignment that it averages.
        """
        network = self.network
        assignments = network.assignment.cpu()[None]
        if self.distribution is not None:
            assignments = self.distribution.sample(self.config.weight_samples, self.generator)
        network.train()
        self.optimizer.zero_grad()
        losses = network.accumulate_gradients(batch, assignments)
        self.optimizer.step()
        return losses


def _check_room(weights: int, p_min: float) -> None:
    if weights * p_min >= 1:
        raise MtlError(
            f"strategy.p_min should be below 1 / weights_per_unit = {1 / weights:.4g}, found "
            f"{p_min}"
        )
