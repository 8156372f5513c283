"""From assignments to rows of a batch and back, through banks of weights, norms and heads."""
