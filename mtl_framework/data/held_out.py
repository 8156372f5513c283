"""A stratified share of the training examples is held out."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from ..support.errors import MtlError


def stratified_share(
    rows: Int64[Tensor, " rows"],
    targets: Sequence[Shaped[Tensor, "examples *dims"]],
    share: float,
    generator: torch.Generator,
    labelled: Sequence[Bool[Tensor, " examples"] | None] = (),
) -> tuple[Int64[Tensor, " kept"], Int64[Tensor, " held"]]:
    """Split rows in two parts whose targets are distributed alike.

    The rows are sorted by their targets, in random order among equal ones, and taken at equal
    distances from a random start on: for every class (and every range of a number) the share is met
    but for one example. With several tasks the first one's targets count most. Targets with more
    than one number a row are not sorted by. Examples without a label of a task are like a class of
    its own, whatever stands in place of their targets.

    Args:
        rows: numbers of the examples to split.
        targets: for every task that reads the rows, the targets of all examples.
        share: share of the rows to hold out, between 0 and 1.
        generator: draws the random numbers.
        labelled: for every task which examples have a label, or ``None`` where all have; default:
            all have.

    Raises:
        MtlError: if one part would be empty.
    """
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise MtlError(
            f"a share of {share:g} of {len(rows)} training examples cannot be held out: both parts "
            "should have at least one"
        )
    order = rows[torch.randperm(len(rows), generator=generator)]
    masks = labelled or [None] * len(targets)
    for target, mask in reversed([p for p in zip(targets, masks, strict=True) if p[0].ndim == 1]):
        known = target if mask is None else target.where(mask, torch.zeros_like(target))
        order = order[known[order].argsort(stable=True)]
        if mask is not None:
            order = order[mask[order].long().argsort(stable=True)]
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    # e.g. 2 of 6 rows, start 0.4: positions (0.4 + 0) * 3 = 1 and (0.4 + 1) * 3 = 4
    taken = ((start + torch.arange(count)) * (len(rows) / count)).long().clamp(max=len(rows) - 1)
    held = torch.zeros(len(rows), dtype=torch.bool)
    held[taken] = True
    return order[~held].sort().values, order[held].sort().values
