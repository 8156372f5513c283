"""Presets are complete settings: what the paper says, and what the published code does.

The 15 differences between both, and which of them each preset follows, are listed in
docs/strategies/muir.md.
"""

from collections.abc import Mapping
from typing import Any

_COMMON = {
    "name": "muir",
    "context_size": 4,
    "block_out": 16,
    "block_in": 16,
    "learning_rate": 1e-3,
    "soft_learning_rate": 0.1,
    "steps_per_generation": 1000,
    "decomposition": "location",
    "alternatives": 1,
    "sampling": "proportional",
    "challenger_contexts": "shared",
    "selection": "best",
    "initialization": "he_normal",
    "save_best": False,
    "search_generations": None,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {
        "strategy": {
            **_COMMON,
            "module_variance": "2/c",
            "challenged": 1.0,
            "reactivation": 0.0,
            "alpha": None,
            "burn_in": 0,
            "idle_modules": "still",
            "refine": "before_evaluation",
            "best_by": "relative",
        },
        "eval_every": 1000,
    },
    "published_code": {
        "strategy": {
            **_COMMON,
            "module_variance": "1/c",
            "challenged": 0.5,
            "reactivation": 1e-4,
            "alpha": 0.5,
            "burn_in": 2,
            "idle_modules": "momentum",
            "refine": "after_evaluation",
            "best_by": "mean",
        },
        "eval_every": 1000,
    },
}
