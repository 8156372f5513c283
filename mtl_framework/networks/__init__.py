"""Per-task networks over banks of weights: how they are run, taken apart and evaluated."""
