"""Modules of all locations are searched by a decomposed K-valued (1 + lambda)-EA.

It is Algorithm 1 of Meyerson and Miikkulainen 2019, arXiv 1906.00097, with what the published code
adds: proportional sampling, a share of the parts that is challenged, and modules that come back.
Locations are divided into D parts; each keeps its own incumbent, the candidates of a part are whole
mappings of its locations.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Sampling = Literal["proportional", "uniform"]


@dataclass(frozen=True)
class SearchOptions:
    """These options say how challengers are made.

    Args:
        alternatives: lambda, the number of challengers of a part.
        challenged: share of the parts that get challengers; rounded up.
        sampling: whether a new module is that of a random location (proportional to use), or any of
            the K.
        reactivation: probability that a new module is an idle one instead, drawn anew; only with
            proportional sampling.
        alpha: probability that the challengers of a part start with together; ``None``: every
            candidate starts alike.
    """

    alternatives: int = 1
    challenged: float = 1.0
    sampling: Sampling = "proportional"
    reactivation: float = 0.0
    alpha: float | None = None

    def start(self) -> Float[Tensor, " candidates"]:
        """Return logits of a part's candidates as a generation begins, the incumbent first."""
        logits = torch.zeros(1 + self.alternatives)
        if self.alpha is not None:
            odds = torch.tensor(self.alpha / (1 - self.alpha) / self.alternatives)
            logits[1:] = odds.log()
        return logits


@dataclass(frozen=True)
class Candidates:
    """Candidates are the incumbents and challengers of one generation.

    Args:
        modules: (L, 1 + lambda), the candidates of every location, the incumbent first; parts
            without challengers repeat it.
        challenged: (D,), whether each part has challengers.
        renewed: modules that were idle and come back.
        renewed_at: for each of these the location that it comes back for.
    """

    modules: Int64[Tensor, "locations candidates"]
    challenged: Bool[Tensor, " parts"]
    renewed: Int64[Tensor, " some"]
    renewed_at: Int64[Tensor, " some"]


def propose(
    mapping: Int64[Tensor, " locations"],
    parts: Int64[Tensor, " locations"],
    num_modules: int,
    options: SearchOptions,
    generator: torch.Generator,
) -> Candidates:
    """Propose the challengers of a generation.

    In a challenged part of n locations every location changes with probability 1 / n, which is the
    D / L of Algorithm 1 for parts of equal size. A challenger may equal its incumbent.

    Args:
        mapping: the module of every location.
        parts: the part of every location, from 0 to D - 1, each occurring.
        num_modules: K.
        options: how challengers are made.
        generator: the generator of the random numbers, on the CPU, like all tensors here.
    """
    locations, number = len(mapping), int(parts.max()) + 1
    # of the share as it is written: 0.07 of 100 are 7, though 100 * 0.07 is a little more
    count = math.ceil(number * Fraction(str(options.challenged)))
    chosen = torch.randperm(number, generator=generator)[:count]
    challenged = torch.zeros(number, dtype=torch.bool)
    challenged[chosen] = True
    modules = mapping[:, None].repeat(1, 1 + options.alternatives)
    changes = challenged[parts][:, None].repeat(1, options.alternatives)
    if number < locations:
        rate = 1 / parts.bincount()[parts].double()[:, None]
        drawn = torch.rand(changes.shape, generator=generator, dtype=torch.float64)
        changes &= drawn < rate
    where = changes.nonzero()[:, 0]
    if options.sampling == "uniform":
        new = torch.randint(num_modules, where.shape, generator=generator)
    else:
        new = mapping[torch.randint(locations, where.shape, generator=generator)]
    renewed = torch.zeros(0, dtype=torch.int64)
    back = renewed
    if options.reactivation and options.sampling == "proportional":
        idle = idle_modules(mapping, num_modules)
        if len(idle):
            wanted = torch.rand(where.shape, generator=generator, dtype=torch.float64)
            back = (wanted < options.reactivation).nonzero()[:, 0]
            back = back[: len(idle)]
            renewed = idle[torch.randperm(len(idle), generator=generator)[: len(back)]]
            new[back] = renewed
    modules[:, 1:][changes] = new
    return Candidates(modules, challenged, renewed, where[back])


def idle_modules(mapping: Int64[Tensor, " locations"], num_modules: int) -> Int64[Tensor, " idle"]:
    """Return the modules that no location uses."""
    return (mapping.bincount(minlength=num_modules) == 0).nonzero()[:, 0]


def pooled_scores(
    modules: Int64[Tensor, "locations candidates"],
    parts: Int64[Tensor, " locations"],
    scores: Float[Tensor, "parts candidates"],
) -> Float[Tensor, "parts candidates"]:
    """Sum every candidate's score over those of its part that are the same mapping."""
    number, most = scores.shape
    same = modules[:, :, None] == modules[:, None, :]
    differing = torch.zeros(number, most, most, dtype=torch.int64, device=modules.device)
    differing.index_add_(0, parts, (~same).long())
    return torch.einsum("dij,dj->di", (differing == 0).to(scores), scores)


def select_best(
    modules: Int64[Tensor, "locations candidates"],
    parts: Int64[Tensor, " locations"],
    scores: Float[Tensor, "parts candidates"],
) -> Int64[Tensor, " locations"]:
    """Choose the best candidate of every part as next mapping; among equals the incumbent."""
    return _take(modules, parts, scores.argmax(1))


def select_random(
    modules: Int64[Tensor, "locations candidates"],
    parts: Int64[Tensor, " locations"],
    generator: torch.Generator,
) -> Int64[Tensor, " locations"]:
    """Choose any candidate of every part as next mapping (the paper's *Random* baseline)."""
    number = int(parts.max()) + 1
    return _take(modules, parts, torch.randint(modules.shape[1], (number,), generator=generator))


def _take(modules: Tensor, parts: Tensor, winners: Tensor) -> Tensor:
    return modules.gather(1, winners[parts][:, None])[:, 0]
