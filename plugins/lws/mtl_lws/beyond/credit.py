"""A choice is ranked by all tasks' loss (paper), the task's own, or its own at one unit.

The paper ranks whole assignments by the mean loss over tasks, so a task's choice at a unit is
judged together with all other choices of all tasks. With ``task``, each task ranks the samples by
its own loss: given the assignment, other tasks' choices do not enter it. With ``unit``, the samples
of a step moreover agree everywhere but at one unit, so that nothing but the choice there can make
the difference; the unit changes from step to step. Neither is in the paper; crediting single
variables is the decomposition of Meyerson and Miikkulainen (NeurIPS 2019) applied to the same
search space.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mtl_framework import SearchDistribution

from .sampling import Sampling, draw

Credit = Literal["joint", "task", "unit"]


def ranked(
    losses: Float[Tensor, "samples tasks"], credit: Credit
) -> Float[Tensor, "samples"] | Float[Tensor, "samples tasks"]:
    """Return the losses that rank the samples: the mean, or each task's own."""
    return losses.mean(1) if credit == "joint" else losses


def differ_at_one_unit(
    distribution: SearchDistribution,
    samples: int,
    generator: torch.Generator,
    sampling: Sampling = "independent",
) -> Int64[Tensor, "samples units tasks"]:
    """Draw assignments that differ at one random unit only.

    Each is distributed as p(a | pi). In the natural gradient the utilities, which sum to zero,
    cancel at all other units, so the step moves that unit alone: in expectation over the unit the
    step is the full one divided by the number of units.
    """
    units = len(distribution.pi)
    unit = int(torch.randint(units, (1,), generator=generator))
    common = distribution.sample(1, generator)
    drawn = common.repeat(samples, 1, 1)
    drawn[:, unit] = draw(distribution, samples, generator, sampling)[:, unit]
    return drawn
