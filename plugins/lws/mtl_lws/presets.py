"""Presets are settings of a run: the paper's (section IV), a first look."""

from collections.abc import Mapping
from typing import Any

#: What is not in the paper is off.
BEYOND_OFF: Mapping[str, Any] = {
    "credit": "joint",
    "search_data": 0,
    "nes_schedule": "constant",
    "shared_start": 0,
    "freeze_after": 1,
}

#: What the paper's experiments ran with. The initialisation is PyTorch's own: the paper says
#: "uniform He", and the published code, which gave its figures, leaves the layers as PyTorch draws
#: them.
PAPER: Mapping[str, Any] = {
    "strategy": {
        "name": "lws",
        "nes_samples": 8,
        "weight_samples": 8,
        "learning_rate": 1e-3,
        "epsilon": 1e-8,
        "nes_learning_rate": 1e-2,
        "p_min": 1e-3,
        "initialization": "library",
        "gradient_scaling": "paper",
        **BEYOND_OFF,
    },
    "backbone": {"small_images": True, "normalization": "shared"},
    "batch_size": 16,
    "eval_every": 200,
}

#: A first look of a few minutes on two CPU cores: two weights a unit, few samples, a fast search by
#: each task's own loss between a first part in which everything is shared and a last one in which
#: what it has found is trained alone, and a start that leans towards sharing. Weights are averaged
#: over their last ten or so steps, as the learning rate does not fall. No setting for results.
QUICK: Mapping[str, Any] = {
    "strategy": {
        "weights_per_unit": 2,
        "nes_samples": 4,
        "weight_samples": 1,
        "nes_learning_rate": 0.3,
        "nes_schedule": "constant",
        "credit": "task",
        "search_data": 0,
        "prior": "shared",
        "prior_strength": 0.9,
        "shared_start": 0.6,
        "freeze_after": 0.8,
    },
    "training": {"average": {"name": "ema", "decay": 0.9}},
    "iterations": 300,
    "eval_every": 50,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"paper": PAPER, "quick": QUICK}
