"""Agents see returns in units of how far their own recent returns spread."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from mtl_framework import MtlError


class RunningScale:
    """It knows the mean and the variance of recent returns, by which agents standardise new ones.

    Rewards rise while blocks learn. Beside returns of long ago a block seems good because it was
    chosen late, and one that is rarely chosen seems bad, whatever they are worth; and one learning
    rate means other things for tasks whose rewards spread differently. Agents therefore see
    (G - mean) / deviation, where the mean is that before G. It is 0 at first, and never further
    from 0 than 1 / sqrt(rate). After returns 1 and 2 at a rate of 0.5 or less, the mean is 1.5, the
    variance 0.5, and 2 was seen as 1.41.

    Args:
        units: U, the number of units.
        tasks: T, the number of tasks.
        rate: weight of a new return in both, where there were as many before.
    """

    def __init__(self, units: int, tasks: int, rate: float) -> None:
        self.mean = torch.zeros(units, tasks, dtype=torch.float64)
        self.variance = torch.zeros(units, tasks, dtype=torch.float64)
        self.count = torch.zeros(tasks, dtype=torch.float64)
        self._rate = rate

    def standardized(
        self, returns: Float64[Tensor, "units tasks"], judged: Bool[Tensor, " tasks"]
    ) -> Float64[Tensor, "units tasks"]:
        """Return what agents see of these returns, and remember those of judged tasks."""
        self.count = self.count + judged
        weight = judged * (1 / self.count.clamp(min=1)).clamp(min=self._rate)
        away = torch.where(self.count > 1, returns - self.mean, 0.0)
        self.variance = self.variance + weight * (away.square() - self.variance)
        self.mean = self.mean + weight * (returns - self.mean)
        return torch.where(self.variance > 0, away / self.variance.sqrt(), 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return means, variances, and the number of returns."""
        names = "mean", "variance", "count"
        return {name: getattr(self, name).clone() for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            MtlError: if it is that of other units or tasks.
        """
        for name in ("mean", "variance", "count"):
            own = getattr(self, name)
            if state[name].shape != own.shape:
                raise MtlError(
                    f"saved {name} of returns has shape {tuple(state[name].shape)}, this one has "
                    f"{tuple(own.shape)}"
                )
            setattr(self, name, state[name].to("cpu", torch.float64).clone())
