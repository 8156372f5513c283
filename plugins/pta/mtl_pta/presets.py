"""The presets are the paper's experiments as settings."""

from typing import Any

from .config import COMBINATIONS


def _omniglot(variant: str) -> dict[str, Any]:
    """Section 4.1 has 100 meta-iterations of 250 updates, but no batch size or learning rate."""
    return {
        "strategy": {
            "name": "pta",
            "variant": variant,
            "decoders": 4,
            "meta_iteration": 250,
            "dropout": 0.5,
            "perturbation": 0.01,
            "rate_perturbation": 0.1,
            "dropout_range": [0.2, 0.8],
            "noise": "variance",
            "cost": "error",
            "optimizer": "adam",
            "learning_rate": 1e-3,
        },
        "batch_size": 16,
        "iterations": 25_000,
        "eval_every": 250,
    }


def _imdb() -> dict[str, Any]:
    """Section 4.2 has meta-iterations of one epoch, ten decoders."""
    preset = _omniglot("HGD")
    preset["strategy"] |= {"decoders": 10, "meta_iteration": "epoch"}
    return {"strategy": preset["strategy"]}


def _celeba() -> dict[str, Any]:
    """Section 4.3 has RMSprop at the first of three learning rates, about 30 meta-iterations."""
    preset = _omniglot("HGD")
    preset["strategy"] |= {"decoders": 10, "optimizer": "rmsprop", "learning_rate": 1e-4}
    return {**preset, "batch_size": 32, "iterations": 7_500}


PRESETS = {
    **{variant: _omniglot(variant) for variant in COMBINATIONS},
    "imdb": _imdb(),
    "celeba": _celeba(),
}
