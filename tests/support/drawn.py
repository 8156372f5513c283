"""Distributions and generators of several sizes, for the tests of searches."""

import torch
from hypothesis import settings

many = settings(max_examples=60, deadline=None)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
