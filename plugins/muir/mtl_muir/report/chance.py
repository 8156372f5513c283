"""The sharing of layers is measured against chance: Figure 3b of Meyerson and Miikkulainen 2019."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .usage import Places, users

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerSharing:
    """Layer sharing is, for every generated weight, the share of blocks with another task's module.

    Args:
        observed: (weights,), shares from 0 to 1.
        expected: (weights,), mean shares where the modules are dealt out to the locations at
            random.
        low: (weights,), shares below which 2.5 % of the deals lie.
        high: (weights,), shares above which 2.5 % of the deals lie.
    """

    observed: Numbers
    expected: Numbers
    low: Numbers
    high: Numbers


def layer_sharing(
    mapping: torch.Tensor, places: Places, deals: int = 200, seed: int = 0
) -> LayerSharing:
    """Compare a mapping (L,) with random deals of the same modules, each as often.

    Args:
        mapping: the module of every location.
        places: the places of the locations.
        deals: number of random permutations of the mapping.
        seed: seed of the random deals.
    """
    generator = torch.Generator().manual_seed(seed)
    tasks, weights = places.tasks_of_locations(), places.weights_of_locations()
    modules = int(mapping.max()) + 1

    def shares(given: torch.Tensor) -> torch.Tensor:
        common = users(given, tasks, modules).sum(1) > 1
        hits = torch.zeros(len(places.weights)).index_add_(0, weights, common[given].float())
        return hits / weights.bincount()

    dealt = torch.stack(
        [shares(mapping[torch.randperm(len(mapping), generator=generator)]) for _ in range(deals)]
    ).double()
    low, high = dealt.quantile(torch.tensor([0.025, 0.975]).double(), 0)
    return LayerSharing(
        shares(mapping).double().numpy(), dealt.mean(0).numpy(), low.numpy(), high.numpy()
    )
