"""Modular universal reparameterization makes networks of any kind of the same hypermodules.

Meyerson and Miikkulainen, "Modular Universal Reparameterization: Deep Multi-task Learning Across
Diverse Domains", NeurIPS 2019, arXiv 1906.00097. Where paper and published code differ, an option
names both sides and the paper's is the default (docs/strategies/muir.md lists all of them).
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mtl_framework import (
    Backbone,
    MtlError,
    PlainBackbone,
    Step,
    Strategy,
    StrategyConfig,
    TrainingRun,
    resting,
)
from mtl_framework.data import Batch, Suite

from .config import MuirConfig
from .method.model import Decomposition, GeneratedNetworks
from .presets import PRESETS
from .report.usage import MOST_LOCATIONS, Places, count_by_users, users
from .search.best import BestGeneration
from .search.evolution import SearchOptions, idle_modules, propose, select_random


class Muir(Strategy):
    """Adam trains hypermodules, contexts and soft weights, evolution the mapping (Algorithm 2).

    A generation has ``steps_per_generation`` steps. At its start locations get challengers; while
    it lasts the blocks of a location are the mean of its candidates', weighted by trained soft
    weights (equation 8); at its end the candidate with the largest weight stays. What the tasks
    lose never guides the search. ``network.mapping`` holds the incumbents.
    """

    Config: ClassVar[type[StrategyConfig]] = MuirConfig
    config: MuirConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    check_options: ClassVar[Mapping[str, Any]] = {
        "block_out": 4, "block_in": 4, "steps_per_generation": 2, "indivisible": "ordinary"
    }  # fmt: skip

    network: GeneratedNetworks

    def build(self, backbone: Backbone, suite: Suite) -> GeneratedNetworks:
        """Make a whole network of the one kind for every task."""
        return self.build_each([backbone] * len(suite), suite)

    def build_each(self, backbones: Sequence[PlainBackbone], suite: Suite) -> GeneratedNetworks:
        """Make networks without their large weights, and as many hypermodules as blocks."""
        config = self.config
        how = Decomposition(
            block_out=config.block_out,
            block_in=config.block_in,
            context_size=config.context_size,
            gain=2.0 if config.module_variance == "2/c" else 1.0,
            library=config.initialization == "library",
            indivisible=config.indivisible,
            layers=config.layers,
            parts=config.decomposition,
            candidates=1 + config.alternatives,
            fitted=config.challenger_contexts == "fitted",
        )
        self.best = BestGeneration(config.best_by, suite.task_names)
        self.network = network = GeneratedNetworks(backbones, suite.tasks, how)
        self.search = SearchOptions(
            config.alternatives,
            config.challenged,
            config.sampling,
            config.reactivation,
            config.alpha,
        )
        if config.oracle_groups is not None:
            network.settle(self._oracle(config.oracle_groups, suite))
        soft = network.logits
        others = [p for p in network.parameters() if p is not soft]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": [soft], "lr": config.soft_learning_rate},
        ]
        self.optimizer = self.make_optimizer(network, "adam", config.learning_rate, groups=groups)
        self.optimizer.register_step_post_hook(lambda *_: network.forget())
        self.generator = torch.Generator().manual_seed(self.seed)
        self.places = Places.of(network)
        self._noted: tuple[int, dict[str, Tensor | float]]
        self.register_state("_noted", (-1, {}), persistent=False)
        return network

    def _oracle(self, groups: tuple[int, ...], suite: Suite) -> Int64[Tensor, " locations"]:
        """Return the mapping that shares everything within a group of tasks."""
        network = self.network
        if len(groups) != len(suite):
            raise MtlError(
                f"oracle_groups should hold a number for each of the {len(suite)} tasks, found "
                f"{len(groups)}"
            )
        mapping = network.mapping.clone()
        for task, group in enumerate(groups):
            leader = groups.index(group)
            (start, end), (first, last) = network.spans[task], network.spans[leader]
            if end - start != last - first:
                raise MtlError(
                    f"oracle_groups: tasks {suite.task_names[leader]!r} and "
                    f"{suite.task_names[task]!r} are in one group, but have {last - first} and "
                    f"{end - start} blocks"
                )
            mapping[start:end] = torch.arange(first, last)
        return mapping

    # -- the loop ------------------------------------------------------------------------------

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Run generations, one after the other; a resumed run goes on within one."""
        length = self.config.steps_per_generation
        needed = (self.config.burn_in + 1) * length
        searches = self.config.selection != "oracle" and self.config.search_generations != 0
        if searches and run.iterations < needed:
            run.hint(
                f"muir: nothing is selected before iteration {needed} (burn_in + 1 generations of "
                f"{length} steps), and this run has {run.iterations}: set steps_per_generation"
            )
        while True:
            generation, position = divmod(run.iteration, length)
            if position == 0:
                self.begin_generation(generation, run)
            losses = self.train_step(run.next_batch())
            before = self.config.refine == "before_evaluation"
            if before and (run.iteration + 1) % length == 0:
                self.refine()
            yield Step(losses, self._metrics())

    def begin_generation(self, generation: int, run: TrainingRun) -> None:
        """Choose survivors where that is still to be done, look back, and set challengers."""
        config = self.config
        self.refine()
        end = config.search_generations
        if config.save_best and end is not None and 0 < generation <= end:
            self._look_back(run, last=generation == end)
        searching = config.burn_in <= generation and (end is None or generation < end)
        if searching and config.selection != "oracle":
            self.challenge()

    def challenge(self) -> None:
        """Give locations challengers; soft weights and their optimiser start anew."""
        network = self.network
        candidates = propose(
            network.mapping.cpu(),
            network.parts.cpu(),
            len(network.hypermodules.hypermodules),
            self.search,
            self.generator,
        )
        network.challenge(candidates, self.search.start(), self.generator)
        self.optimizer.state.pop(network.logits, None)

    def train_step(self, batch: Batch) -> Float[Tensor, " tasks"]:
        """Do one step of Adam along the gradient of the sum of the tasks' losses.

        What only tasks without a label in the batch use does not move.
        """
        if not self.network.training:  # going through all modules costs more than small networks
            self.network.train()
        self.optimizer.zero_grad()
        losses = self.network.accumulate_gradients(batch)
        without: list[int] = []
        if batch.labelled:
            labels = self.network.labelled_anywhere(batch).tolist()
            without = [task for task, present in enumerate(labels) if not present]
        with resting(self.optimizer, self.network.rows_of(without) if without else {}):
            self.optimizer.step()
        return losses

    def refine(self) -> None:
        """End a generation: survivors become incumbents; nothing happens without challengers."""
        network = self.network
        if not bool(network.challenged.any()):
            return
        if self.config.selection == "random":
            modules, parts = network.candidates.cpu(), network.parts.cpu()
            mapping = select_random(modules, parts, self.generator)
        else:
            mapping = network.best_mapping()
        network.settle(mapping)
        if self.config.idle_modules == "still":
            self._still_idle_modules()

    def _still_idle_modules(self) -> None:
        """Keep idle modules still: without moments and gradients Adam does not move them."""
        values = self.network.hypermodules.hypermodules
        idle = idle_modules(self.network.mapping, len(values))
        state = self.optimizer.state.get(values, {})
        for name in ("exp_avg", "exp_avg_sq"):
            if name in state:
                state[name][idle] = 0

    def _look_back(self, run: TrainingRun, last: bool) -> None:
        """Keep this generation if it is the best so far; return to the best one after the last."""
        evaluation = run.last_evaluation
        if evaluation is None or evaluation.iteration != run.iteration:
            raise MtlError(
                "save_best needs an evaluation after every generation: eval_every should divide "
                f"steps_per_generation={self.config.steps_per_generation}, found "
                f"{run.eval_every}"
            )
        if self.best.consider(evaluation):
            network, optimizer = self.network.state_dict(), self.optimizer.inner.state_dict()
            self.best.keep({"network": network, "optimizer": optimizer})
        if last:
            self.network.load_state_dict(self.best.state["network"])
            self.optimizer.inner.load_state_dict(self.best.state["optimizer"])
            self.optimizer.restart_average()
            self.best.keep({})

    # -- what is written down ------------------------------------------------------------------

    def _metrics(self) -> dict[str, Tensor | float]:
        """Return the numbers of modules by who uses them, and short mappings as a whole."""
        network = self.network
        key = network.candidates._version
        if self._noted[0] != key:
            tasks = self.places.tasks_of_locations().to(network.mapping.device)
            used = users(network.mapping, tasks, network.num_locations)
            metrics: dict[str, Tensor | float] = {
                "modules": used.any(1).sum(),
                "modules_by_users": count_by_users(used),
            }
            if network.num_locations <= MOST_LOCATIONS:
                metrics["mapping"] = network.mapping.clone()
            self._noted = key, metrics
        return self._noted[1]
