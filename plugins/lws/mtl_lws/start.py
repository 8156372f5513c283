"""The search starts as in Algorithm 1, line 23, or from prior knowledge."""

from typing import Literal

import torch

from mtl_framework import MtlError, SearchDistribution

Matrix = list[list[float]]
Start = Literal["uniform"] | Matrix | list[Matrix]


def initial_distribution(
    given: Start, units: int, tasks: int, weights: int, p_min: float
) -> SearchDistribution:
    """Return the search distribution before the first step.

    Args:
        given: ``"uniform"``, or probabilities (tasks x weights) for every unit, or for each.
        units: U, the number of units of the backbone.
        tasks: T, the number of tasks.
        weights: K of every unit.
        p_min: lowest probability, which the weights of a unit must all have room for.

    Raises:
        MtlError: if ``given`` is of another shape or holds no probabilities, or p_min is too large.
    """
    try:
        check_room(weights, p_min)
    except ValueError as error:
        raise MtlError(f"strategy {error}") from None
    if given == "uniform":
        return SearchDistribution.uniform([weights] * units, tasks)
    try:
        pi = torch.tensor(given, dtype=torch.float64)
    except ValueError:
        raise MtlError("initial_distribution: its rows differ in length") from None
    if pi.shape not in ((tasks, weights), (units, tasks, weights)):
        raise MtlError(
            f"initial_distribution should be {tasks} tasks x {weights} weights, or {units} "
            f"units x {tasks} x {weights}, found {' x '.join(map(str, pi.shape))}"
        )
    try:
        return SearchDistribution(pi.expand(units, tasks, weights))
    except MtlError as error:
        raise MtlError(f"initial_distribution: {error}") from None


def check_room(weights: int, p_min: float) -> None:
    """Refuse a lowest probability that the weights of a unit cannot all have.

    Raises:
        ValueError: if ``weights * p_min`` is not below one.
    """
    if weights * p_min >= 1:
        raise ValueError(
            f"should have p_min below 1 / weights_per_unit = {1 / weights:.4g}, found {p_min}"
        )
