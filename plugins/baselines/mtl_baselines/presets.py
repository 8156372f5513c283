"""All baselines have the settings of the paper's experiments in common."""

from typing import Any


def paper(strategy: str, **options: Any) -> dict[str, Any]:
    """Return a run's settings in Prellberg and Kramer 2020, section IV, for one strategy."""
    return {
        "strategy": {
            "name": strategy,
            "learning_rate": 1e-3,
            "initialization": "library",
            "gradient_scaling": "paper",
            **options,
        },
        "backbone": {"small_images": True, "normalization": "shared"},
        "batch_size": 16,
        "eval_every": 200,
    }
