"""Generic modules, which more than c locations use, are set against specific ones.

This is Table 4 of Meyerson and Miikkulainen 2019, arXiv 1906.00097.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from scipy import stats
from torch import Tensor

Numbers = npt.NDArray[np.float64]
STATISTICS = ("mean", "standard deviation", "largest magnitude")


@dataclass(frozen=True)
class Contrast:
    """A contrast is one statistic of one kind of numbers, generic against specific.

    Args:
        kind: ``hypermodules``, ``contexts`` or ``maps`` (the blocks that are generated).
        statistic: statistic of the entries of each.
        generic: values of the statistic where the module is generic.
        specific: values of the statistic where it is not.
        p: p-value of the two-sided Mann-Whitney U test; NaN where a side is empty.
    """

    kind: str
    statistic: str
    generic: Numbers
    specific: Numbers
    p: float


def contrasts(
    hypermodules: Float[Tensor, "modules components m n"],
    contexts: Float[Tensor, "locations context_size"],
    mapping: Int64[Tensor, " locations"],
) -> list[Contrast]:
    """Compute every statistic of modules in use, contexts and maps, generic against specific.

    Args:
        hypermodules: the entries of all K modules.
        contexts: the contexts of all locations.
        mapping: the module of every location.
    """
    uses = mapping.bincount(minlength=len(hypermodules))
    generic = uses > max(contexts.shape[1], 1)
    used = uses > 0
    chosen = hypermodules[mapping]
    maps = torch.einsum("lc,lcmn->lmn", contexts, chosen) if contexts.shape[1] else chosen[:, 0]
    kinds = {
        "hypermodules": (hypermodules[used].flatten(1), generic[used]),
        "contexts": (contexts, generic[mapping]),
        "maps": (maps.flatten(1), generic[mapping]),
    }
    rows = []
    for kind, (values, marks) in kinds.items():
        if not values.shape[1]:
            continue
        entries, which = values.double().numpy(), marks.numpy()
        every = (entries.mean(1), entries.std(1), np.abs(entries).max(1))
        for name, numbers in zip(STATISTICS, every, strict=True):
            a, b = numbers[which], numbers[~which]
            p = float(stats.mannwhitneyu(a, b).pvalue) if len(a) and len(b) else float("nan")
            rows.append(Contrast(kind, name, a, b, p))
    return rows
