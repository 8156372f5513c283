"""Weights have moving averages, by torch's own formulas."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from .training import AverageConfig

_FORMULAS: Any = swa_utils  # torch gives these functions no types
_STATISTICS = ("running_mean", "running_var")


class WeightAverage:
    """This averages all parameters and running statistics of a network over steps.

    The weights of every bank are averaged over all steps, those too in which no task used them.

    Args:
        network: the network whose weights are averaged; other buffers are left alone.
        config: the section ``training.average``: which average, and from when.
        accumulate: number of iterations after which the weights move; :meth:`update` is called
            for each move.

    Source: Polyak and Juditsky 1992; ``swa``: Izmailov et al., "Averaging Weights Leads to Wider
    Optima and Better Generalization", UAI 2018; ``warmup`` of an ``ema``: the rule that TensorFlow
    (``ExponentialMovingAverage``, ``num_updates``) has for averages that begin at random weights.
    """

    def __init__(self, network: nn.Module, config: AverageConfig, accumulate: int = 1) -> None:
        self.config = config
        self.start = math.ceil(config.start / accumulate)  # in moves
        self.steps = 0
        self._network = network
        self._average: list[Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Move the average by the weights as they are after a step."""
        self.steps += 1
        tensors = self._tensors()
        counted = self.steps - self.start
        if counted <= 1:
            self._average = [tensor.detach().clone() for tensor in tensors]
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            pairs = [
                pair for pair in zip(self._average, tensors, strict=True) if pair[1].dtype == dtype
            ]
            averages, currents = ([*side] for side in zip(*pairs, strict=True))
            number = torch.tensor(counted - 1, device=currents[0].device)
            self._formula(counted - 1)(averages, currents, number)

    def _formula(self, counted: int) -> Any:
        """Return torch's function that moves an average of ``counted`` steps, 1 or more."""
        if self.config.name == "swa":
            return _FORMULAS.get_swa_multi_avg_fn()
        decay = self.config.decay
        if self.config.warmup:
            decay = min(decay, (1 + counted) / (10 + counted))  # 2/11, 3/12, ... 101/110 after 100
        return _FORMULAS.get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def restart(self, parameters: Iterable[nn.Parameter] | None = None) -> None:
        """Begin anew, as the strategy has put other weights in place.

        That is with the next step, or when the average would have begun, if that is later.

        Args:
            parameters: those that were replaced, whose average is then what they are now, while
                that of all others goes on; default: all, and the running statistics.
        """
        if parameters is None:
            self._average, self.steps = [], min(self.steps, self.start)
            return
        replaced = {id(parameter) for parameter in parameters}
        for average, tensor in zip(self._average, self._tensors(), strict=bool(self._average)):
            if id(tensor) in replaced:
                average.copy_(tensor)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights with their average; a second call exchanges them back."""
        for average, tensor in zip(self._average, self._tensors(), strict=bool(self._average)):
            kept = tensor.clone()
            tensor.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the average, and the number of steps that it is of."""
        return {"steps": self.steps, "average": dict(enumerate(self._average))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.steps = int(state["steps"])
        tensors = self._tensors()
        saved = [state["average"][number] for number in range(len(state["average"]))]
        pairs = zip(saved, tensors, strict=bool(saved))
        self._average = [torch.empty_like(like).copy_(value) for value, like in pairs]

    def _tensors(self) -> list[Tensor]:
        """Return parameters and running statistics, always in the same order."""
        network = self._network
        statistics = (b for name, b in network.named_buffers() if name.endswith(_STATISTICS))
        return [*network.parameters(), *statistics]
