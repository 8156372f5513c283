"""Where a model can be cut into units, found out by running it."""
