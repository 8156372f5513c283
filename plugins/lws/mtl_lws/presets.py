"""Presets are complete settings of a run: the paper's experiments (section IV), a first look."""

from collections.abc import Mapping
from typing import Any

#: What the paper's experiments ran with. The initialisation is PyTorch's own: the paper says
#: "uniform He", and the published code, which gave its figures, leaves the layers as PyTorch draws
#: them. Options of ``mtl_lws.beyond`` are left at their defaults, which is off.
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
        "credit": "joint",
    },
    "backbone": {"small_images": True, "normalization": "shared"},
    "batch_size": 16,
    "eval_every": 200,
}

#: A first look of a few minutes on two CPU cores, where the paper's search, meant for thousands of
#: iterations, does not get anywhere: two weights a unit, few samples, a fast search by each task's
#: own loss, and a start that leans towards sharing. It is no setting for results.
QUICK: Mapping[str, Any] = {
    "strategy": {
        "weights_per_unit": 2,
        "nes_samples": 4,
        "weight_samples": 1,
        "nes_learning_rate": 0.3,
        "credit": "task",
        "prior": "shared",
        "prior_strength": 0.75,
    },
    "iterations": 150,
    "eval_every": 50,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"paper": PAPER, "quick": QUICK}
