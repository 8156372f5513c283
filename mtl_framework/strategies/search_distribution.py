"""A search distribution over assignments moves along its natural gradient.

Equation numbers are those of Prellberg and Kramer, "Learned Weight Sharing for Deep Multi-Task
Learning by Natural Evolution Strategy and Stochastic Gradient Descent", IJCNN 2020, arXiv
2003.10159.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..support.errors import MtlError

Ties = Literal["mean", "first"]


def utilities(
    losses: Float[Tensor, "samples *ranked"], ties: Ties = "mean"
) -> Float64[Tensor, "samples *ranked"]:
    """Compute u = 2 (rank - 1) / (samples - 1) - 1, rank 1 for the largest loss (equation 12).

    The samples' utilities are equally spaced from -1 to +1 (the smallest loss) and sum to zero.
    Losses 1, 3, 2 have ranks 3, 1, 2 and utilities 1, -1, 0; losses 2, 1, 2 have ranks 1.5, 3, 1.5
    and utilities -0.5, 1, -0.5.

    Args:
        losses: one loss for each sample; further dimensions are ranked each on its own. NaN counts
            as the largest loss of all.
        ties: whether equal losses get the ``"mean"`` of their ranks, or ranks in the order of the
            samples (``"first"``: the published code's double sort, with its order made definite).

    Raises:
        MtlError: if there are fewer than two samples, where the formula divides by zero.
    """
    samples = len(losses)
    if samples < 2:
        raise MtlError(f"utilities need at least 2 samples, found {samples}")
    losses = losses.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    if ties == "first":
        # losses 1, 3, 2: the order is sample 1, 2, 0; sorted again, sample 0 stands at 2, 1 at 0
        order = losses.argsort(dim=0, descending=True, stable=True)
        ranks = 1.0 + order.argsort(0)
    else:
        larger = (losses[None] > losses[:, None]).sum(1)
        equal = (losses[None] == losses[:, None]).sum(1)
        ranks = 1 + larger + (equal - 1) / 2
    values: Tensor = 2 * (ranks.double() - 1) / (samples - 1) - 1
    return values


def log_derivative(
    assignments: Int64[Tensor, "samples units tasks"], pi: Float64[Tensor, "units tasks weights"]
) -> Float64[Tensor, "samples units tasks weights"]:
    """Compute the natural gradient of log p(a | pi) by pi, onehot(a) - pi (equation 29)."""
    return F.one_hot(assignments, pi.shape[-1]) - pi


def natural_gradient(
    assignments: Int64[Tensor, "samples units tasks"],
    utilities: Float64[Tensor, "samples"] | Float64[Tensor, "samples tasks"],
    pi: Float64[Tensor, "units tasks weights"],
) -> Float64[Tensor, "units tasks weights"]:
    """Compute the mean over samples of utility times log-derivative (equation 11).

    Its rows sum to zero. Because the utilities do too, entry (u, t, k) is also the sum of the
    utilities of those samples that give weight k to task t at unit u, divided by their number.

    Args:
        assignments: assignments sampled from ``pi``.
        utilities: utilities of the samples, or of the samples for each task by itself.
        pi: the search distribution.
    """
    u = utilities.reshape(len(assignments), 1, -1, 1)
    return (u * log_derivative(assignments, pi)).mean(0)


class SearchDistribution:
    """It is p(a | pi), a product of independent categoricals, one a unit and task (equation 24).

    ``pi[u, t, k]`` is the probability that task t uses weight k of unit u; rows sum to one. Where
    units have different numbers of weights, ``pi`` is padded with zeros, which stay zero. It lives
    on the CPU in float64.

    Args:
        pi: probabilities (units, tasks, weights).
        weights_per_unit: K of every unit; default: the last dimension of ``pi`` for all.

    Raises:
        MtlError: if an entry is negative or padding is not zero, or a row does not sum to one.
    """

    pi: Float64[Tensor, "units tasks weights"]

    def __init__(
        self,
        pi: Float64[Tensor, "units tasks weights"],
        weights_per_unit: Sequence[int] | None = None,
    ) -> None:
        units, _, most = pi.shape
        self.weights_per_unit = tuple(weights_per_unit or [most] * units)
        counts = torch.tensor(self.weights_per_unit)
        self._exists: Bool[Tensor, "units 1 weights"] = torch.arange(most) < counts[:, None, None]
        if len(counts) != units or int(counts.max()) != most or int(counts.min()) < 1:
            raise MtlError(
                f"probabilities of shape {tuple(pi.shape)} do not fit weights_per_unit="
                f"{list(self.weights_per_unit)}"
            )
        _check_probabilities(pi, self._exists)
        self.pi = pi / pi.sum(-1, keepdim=True)

    @classmethod
    def uniform(cls, weights_per_unit: Sequence[int], num_tasks: int) -> "SearchDistribution":
        """Give all weights of a unit the same probability (Algorithm 1, line 23)."""
        counts = torch.tensor(weights_per_unit)[:, None, None]
        exists = (torch.arange(int(counts.max())) < counts).double()
        return cls((exists / counts).repeat(1, num_tasks, 1), weights_per_unit)

    def sample(
        self, n: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "samples units tasks"]:
        """Draw ``n`` independent assignments."""
        units, tasks, weights = self.pi.shape
        rows = self.pi.reshape(-1, weights)
        drawn = torch.multinomial(rows, n, replacement=True, generator=generator)
        return drawn.T.reshape(n, units, tasks)

    def log_derivative(
        self, assignments: Int64[Tensor, "samples units tasks"]
    ) -> Float64[Tensor, "samples units tasks weights"]:
        """Compute equation 29 at the present ``pi``, see :func:`log_derivative`."""
        return log_derivative(assignments, self.pi)

    def step(
        self,
        assignments: Int64[Tensor, "samples units tasks"],
        losses: Float[Tensor, "samples"] | Float[Tensor, "samples tasks"],
        learning_rate: float | Float64[Tensor, "units 1 1"],
        p_min: float,
        ties: Ties = "mean",
        judged: Bool[Tensor, " tasks"] | None = None,
    ) -> None:
        """Move towards the assignments with the smaller losses; clamp and renormalise.

        Afterwards no probability is below p_min / (1 + (K - 1) p_min + learning_rate S), with
        S = n / (4 (n - 1)) for an even number n of samples, (n + 1) / (4 n) for an odd one:
        renormalising takes back a little of what the clamp gave.

        Args:
            assignments: assignments sampled from this distribution.
            losses: the mean loss f under each sample; or each task's loss, and tasks then rank the
                samples by their own.
            learning_rate: learning rate of this step, one for all units or one for each.
            p_min: lowest probability before rows are made to sum to one again.
            ties: see :func:`utilities`.
            judged: True for tasks whose own losses rank the samples; the others stay where they
                are. Default: all do.
        """
        gradient = natural_gradient(assignments, utilities(losses, ties), self.pi)
        if judged is not None:
            gradient = gradient * judged[:, None]
        pi = (self.pi + learning_rate * gradient).clamp(min=p_min) * self._exists
        self.pi = pi / pi.sum(-1, keepdim=True)

    def entropy(self) -> float:
        """Return the mean entropy in nats: 0 where all is decided, log K where nothing is."""
        return float(torch.special.entr(self.pi).sum(-1).mean())

    def mode(self) -> Int64[Tensor, "units tasks"]:
        """Return the most probable assignment; among equals the weight with the lowest number."""
        return self.pi.argmax(-1)

    def harden(self) -> None:
        """Give the most probable assignment probability one."""
        self.pi = F.one_hot(self.mode(), self.pi.shape[-1]).double()

    def state_dict(self) -> dict[str, Any]:
        """Return the probabilities."""
        return {"pi": self.pi.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict` exactly.

        Raises:
            MtlError: if the probabilities belong to other units, tasks or weights.
        """
        pi = state["pi"]
        if pi.shape != self.pi.shape:
            raise MtlError(
                f"saved search distribution has shape {tuple(pi.shape)}, this one has "
                f"{tuple(self.pi.shape)} (units, tasks, weights)"
            )
        pi = pi.to("cpu", torch.float64)
        _check_probabilities(pi, self._exists)
        self.pi = pi.clone()


def _check_probabilities(
    pi: Float64[Tensor, "units tasks weights"], exists: Bool[Tensor, "units 1 weights"]
) -> None:
    wrong = ~(pi >= 0) | ((pi != 0) & ~exists)
    if bool(wrong.any()):
        unit, task, weight = wrong.nonzero()[0].tolist()
        raise MtlError(
            f"probability of weight {weight} for task {task} at unit {unit} is "
            f"{float(pi[unit, task, weight])}; entries should be at least 0, and 0 for weights "
            "that a unit does not have"
        )
    odd = (pi.sum(-1) - 1).abs() > 1e-6
    if bool(odd.any()):
        unit, task = odd.nonzero()[0].tolist()
        raise MtlError(
            f"probabilities of task {task} at unit {unit} sum to "
            f"{float(pi[unit, task].sum()):.6g}, which should be 1"
        )
