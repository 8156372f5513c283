"""Every strategy on the tiny data, with recipes that together set every option of ``training``."""

import signal
from typing import Any

from support.tiny import TinyPlugins

STRATEGIES: dict[str, Any] = {
    "lws": "mtl_lws.strategy:LearnedWeightSharing",
    "full_sharing": "mtl_baselines.ends:FullSharing",
    "no_sharing": "mtl_baselines.ends:NoSharing",
    "fixed_sharing": "mtl_baselines.given:FixedSharing",
    "roaming": "mtl_lws.roaming:Roaming",
    "pta": "mtl_pta.strategy:PseudoTaskAugmentation",
    "cross_stitch": "mtl_soft_sharing.strategy:CrossStitch",
    "nddr": "mtl_soft_sharing.nddr:Nddr",
    "sluice": "mtl_soft_sharing.sluice:Sluice",
    "soft_ordering": "mtl_soft_ordering.strategy:SoftOrdering",
    "adapters": "mtl_adapters.strategy:Adapters",
    "task_grouping": "mtl_branching.grouping:TaskGrouping",
    "recon": "mtl_branching.recon:Recon",
    "routing_networks": "mtl_routing_networks.strategy:RoutingNetworks",
    "muir": "mtl_muir.strategy:Muir",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "fixed_sharing": {"shared_first": 1},
    "pta": {"meta_iteration": 2},
    "adapters": {"kind": "low_rank", "rank": 2, "trunk": "trained"},
    "muir": {"block_in": 2, "block_out": 2, "layers": ["low.*"], "steps_per_generation": 2,
             "indivisible": "ordinary", "search_generations": 2, "save_best": True},
    "lws": {"nes_samples": 2, "weight_samples": 2},
    "routing_networks": {"paths": 2, "router_learning_rate": 0.3},
}  # fmt: skip
#: Strategies whose steps cannot be taken apart by task.
WITHOUT_WEIGHTING = ("cross_stitch", "nddr", "sluice", "soft_ordering", "muir")
#: Strategies that need units of equal shapes.
EVEN = ("sluice", "soft_ordering")

FULL: dict[str, Any] = {
    "optimizer": {"name": "adamw", "betas": [0.8, 0.9]},
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "schedule": {"name": "cosine", "warmup": 2, "warmup_learning_rate": 1e-4},
    "clip": 1.0,
    "accumulate": 2,
    "average": {"name": "ema", "decay": 0.5, "evaluate": "both"},
    "unused_weights": "move",
}
BY_VALIDATION: dict[str, Any] = {
    "optimizer": {"name": "sgd", "momentum": 0.9},
    "weight_decay": 0.1,
    "decay_norms_and_biases": True,
    "layer_decay": 0.8,
    "head_factor": 2.0,
    "schedule": {
        "name": "plateau", "patience": 0, "decay_rate": 0.5, "min_learning_rate": 1e-6,
    },
    "clip": 0.1,
    "clip_by": "value",
    "average": {"name": "swa", "start": 2},
    "stop_after": 2,
    "report": "best",
}  # fmt: skip
WEIGHTED: dict[str, Any] = {
    "optimizer": "muon",
    "accumulate": 2,
    "average": {"name": "ema", "evaluate": "raw", "warmup": False},
    "weighting": {"name": "uncertainty", "learning_rate": 0.1},
}
#: Schedules that go by the step, each for one strategy.
BY_STEP: tuple[dict[str, Any], ...] = (
    {"name": "tanh", "warmup": 1},
    {"name": "step", "decay_every": 2},
    {"name": "multistep", "decay_at": [2, 5]},
    {"name": "poly", "decay_rate": 0.9},
    {"name": "wsd", "warmup": 2, "decay_share": 0.5},
    {"name": "rsqrt", "warmup": 2},
    {"name": "constant", "warmup": 5},
    {"name": "cosine", "length": 12},
)


def recipe_plugins(stop_at: int | None = None, **more: Any) -> TinyPlugins:
    """Names of all strategies; ``stop_at``: the run is told to stop after that step."""

    class Stopping(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            super().notify(hook, **values)
            if hook == "mtl_step" and values["run"].iteration == stop_at:
                signal.raise_signal(signal.SIGINT)

    return Stopping(**STRATEGIES, **more)


def recipe_options(strategy: str, **training: Any) -> dict[str, Any]:
    """Config of a short run with a recipe."""
    named = {"name": strategy, **OPTIONS.get(strategy, {})}
    every = 2 if strategy == "muir" else 4  # once a generation
    backbone = {"name": "even" if strategy in EVEN else "tiny"}
    return {
        "strategy": named, "training": training, "backbone": backbone, "iterations": 8,
        "eval_every": every,
    }  # fmt: skip


def weighted(strategy: str) -> dict[str, Any]:
    """The recipe with a weighting, where the strategy can have one, and a schedule by step."""
    schedule = BY_STEP[list(STRATEGIES).index(strategy) % len(BY_STEP)]
    chosen = {**WEIGHTED, "schedule": schedule}
    if strategy in WITHOUT_WEIGHTING:
        del chosen["weighting"]
    return chosen
