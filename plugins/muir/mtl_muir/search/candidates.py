"""The search changes one thing about networks: the candidates of every location."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mtl_framework import SeparateNetworks

from ..method.hypermodules import Hypermodules
from .evolution import Candidates, pooled_scores, select_best


class SearchedNetworks(SeparateNetworks):
    """Each location of these networks has an incumbent module, and for a time challengers.

    Attributes:
        hypermodules: the modules and every location's context.
        spans: first and behind-last location of every task.
        candidates: (L, 1 + lambda) modules of every location, the incumbent first.
        challenged: (D,) whether a part has challengers; the others use their incumbent.
        parts: (L,) the part that each location belongs to.
        logits: (D, 1 + lambda), soft weights of the candidates of every part.
        maps: (L, 1 + lambda, c, c), maps from a location's context to that of each candidate, where
            contexts are fitted to challengers.
    """

    hypermodules: Hypermodules
    spans: tuple[tuple[int, int], ...]
    candidates: Tensor
    challenged: Tensor
    parts: Tensor
    maps: Tensor | None

    def _open_search(self, parts: Int64[Tensor, " locations"], most: int, fitted: bool) -> None:
        """Begin with a module for every location; ``most`` is 1 + lambda."""
        locations = torch.arange(len(parts))
        self.register_buffer("parts", parts, persistent=False)
        self.register_buffer("candidates", locations[:, None].repeat(1, most))
        number = int(parts.max()) + 1
        self.register_buffer("challenged", torch.zeros(number, dtype=torch.bool))
        self.logits = nn.Parameter(torch.zeros(number, most))
        unchanged = self.hypermodules.unchanged().expand(len(parts), most, -1, -1)
        self.register_buffer("maps", unchanged.clone() if fitted else None)

    @property
    def num_locations(self) -> int:
        """Number L of locations: the blocks of all networks."""
        return len(self.candidates)

    @property
    def mapping(self) -> Int64[Tensor, " locations"]:
        """psi: the module of every location, without challengers."""
        return self.candidates[:, 0]

    def probabilities(self) -> Float[Tensor, "parts candidates"]:
        """Return the soft weights of the candidates of every part."""
        return self.logits.softmax(1)

    @torch.no_grad()
    def challenge(self, candidates: Candidates, start: Tensor, generator: torch.Generator) -> None:
        """Put challengers beside the incumbents.

        Args:
            candidates: the candidates of the generation; modules that come back are drawn anew.
            start: logits of a part's candidates at the start.
            generator: the generator of the random numbers.
        """
        self.hypermodules.renew(candidates.renewed, candidates.renewed_at, generator)
        self.candidates.copy_(candidates.modules)
        self.challenged.copy_(candidates.challenged)
        self.logits.copy_(start.expand_as(self.logits))
        if self.maps is not None:
            for number, modules in enumerate(self.candidates.unbind(1)[1:], 1):
                fitted = self.hypermodules.fit(modules, self.mapping)
                same = (modules == self.mapping)[:, None, None]
                self.maps[:, number] = torch.where(same, self.hypermodules.unchanged(), fitted)

    @torch.no_grad()
    def settle(self, mapping: Int64[Tensor, " locations"]) -> None:
        """Make a mapping the incumbents, without challengers."""
        if self.maps is not None:
            # a mapping that is none of the candidates (an oracle's) finds the incumbent's identity
            winners = (self.candidates == mapping.to(self.candidates)[:, None]).int().argmax(1)
            places = torch.arange(len(winners), device=winners.device)
            contexts = self.hypermodules.contexts
            contexts.copy_((self.maps[places, winners] @ contexts[..., None])[..., 0])
            self.maps.copy_(self.hypermodules.unchanged())
        self.candidates.copy_(mapping[:, None].expand_as(self.candidates))
        self.challenged.zero_()
        self.logits.zero_()

    def best_mapping(self) -> Int64[Tensor, " locations"]:
        """Return the most probable candidates, duplicates pooled; in a tie the incumbent."""
        scores = pooled_scores(self.candidates, self.parts, self.probabilities().detach())
        return select_best(self.candidates, self.parts, scores)

    def rows_of(self, tasks: Sequence[int]) -> dict[nn.Parameter, Bool[Tensor, " rows"]]:
        """Return the rows of common parameters that only these tasks use, challengers included."""
        own = torch.zeros(self.num_locations, dtype=torch.bool, device=self.parts.device)
        for task in tasks:
            own[slice(*self.spans[task])] = True

        def only(numbers: Tensor, count: int) -> Tensor:
            """Return the entries that these locations refer to and no others do."""
            referred = torch.zeros(2, count, dtype=torch.bool, device=own.device)
            referred[0, numbers[own].flatten()] = True
            referred[1, numbers[~own].flatten()] = True
            return referred[0] & ~referred[1]

        modules = self.hypermodules
        return {
            modules.contexts: own,
            modules.hypermodules: only(self.candidates, len(modules.hypermodules)),
            self.logits: only(self.parts, len(self.logits)),
        }
