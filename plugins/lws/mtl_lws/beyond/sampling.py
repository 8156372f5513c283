"""A step's assignments are drawn independently (paper), stratified, or nested.

Whatever the way, every single sample has the distribution p(a | pi), so that the mean of anything
over the samples of a step estimates its expectation without bias. What changes is how the samples
of one step depend on each other, and with it variance and cost.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from mtl_framework import SearchDistribution

Sampling = Literal["independent", "stratified", "nested"]


def draw(
    distribution: SearchDistribution,
    samples: int,
    generator: torch.Generator,
    sampling: Sampling = "independent",
) -> Int64[Tensor, "samples units tasks"]:
    """Draw the assignments of one step.

    Args:
        distribution: the distribution that every sample has.
        samples: number of samples.
        generator: the generator of the random numbers.
        sampling: ``independent`` draws as the paper does. ``stratified`` gives weight k of a unit
            to a task in floor or ceil of ``samples * pi`` samples (systematic sampling with an
            order of its own for every unit and task; for K = 2 this is antithetic). ``nested``
            draws a tree, see :func:`branches`.
    """
    if sampling == "independent":
        return distribution.sample(samples, generator)
    if sampling == "stratified":
        return _stratified(distribution.pi, samples, generator)
    units, tasks, _ = distribution.pi.shape
    drawn = distribution.sample(samples, generator)
    position = torch.arange(samples)
    rows = [
        # e.g. 8 samples, 2 branches: samples 0-3 take the first draw of this unit, 4-7 the second
        drawn[position * count // samples, unit]
        for unit, count in enumerate(branches(units, samples))
    ]
    return torch.stack(rows, 1).reshape(samples, units, tasks)


def branches(units: int, samples: int) -> list[int]:
    """Return the number of different draws of each unit in a nested step: 2, 4, 8, ... ``samples``.

    Samples that agree at a unit agree at all units before it, so that the routed pass runs at most
    this many paths a task there, where independent draws run up to ``samples`` of them.
    """
    doublings = math.log2(samples)
    counts = [
        min(samples, 2 ** math.ceil(doublings * (u + 1) / units - 1e-9)) for u in range(units)
    ]
    return [max(1, count) for count in counts]


def centring_correction(
    units: int, samples: int, sampling: Sampling
) -> Float64[Tensor, "units 1 1"]:
    """Return factors that make up for ranks being relative to a step's other samples.

    Utilities sum to zero over the samples. Subtracting the mean of n independent losses shortens
    the expected gradient by 1 - 1/n; of samples that come in b equal blocks with one draw each, by
    1 - 1/b. The factor at a unit with b branches is (1 - 1/n) / (1 - 1/b), e.g. 1.75 for 2
    branches of 8 samples: nested samples then move every unit as far as independent ones do.
    """
    if sampling != "nested" or samples == 1:
        return torch.ones(units, 1, 1, dtype=torch.float64)
    position = torch.arange(samples)
    factors = []
    for count in branches(units, samples):
        sizes = torch.bincount(position * count // samples, minlength=count).double() / samples
        same = float((sizes**2).sum())  # chance that two samples, with repetition, share a draw
        factors.append((1 - 1 / samples) / (1 - same) if same < 1 else 0.0)
    return torch.tensor(factors, dtype=torch.float64).reshape(-1, 1, 1)


def _stratified(
    pi: Float64[Tensor, "units tasks weights"], samples: int, generator: torch.Generator
) -> Int64[Tensor, "samples units tasks"]:
    units, tasks, weights = pi.shape
    offset = torch.rand(units, tasks, 1, generator=generator, dtype=torch.float64)
    # points (i + offset) / n, one in each of n equal intervals, in an order of their own a row:
    # with pi = 0.25, 0.75 and offset 0.5, points 0.125, 0.375, 0.625, 0.875 draw weights 0, 1, 1, 1
    order = torch.rand(units, tasks, samples, generator=generator).argsort(-1)
    points = (order + offset) / samples
    drawn = torch.searchsorted(pi.cumsum(-1).contiguous(), points, right=True)
    last = weights - 1 - (pi > 0).int().flip(-1).argmax(-1, keepdim=True)  # rounding of the sum
    return drawn.minimum(last).permute(2, 0, 1)
