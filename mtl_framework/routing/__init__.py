"""Routing takes assignments to rows of a batch and back, through banks, norms and heads."""
