"""This room holds per-task networks over banks of weights: they run, come apart, are evaluated."""
