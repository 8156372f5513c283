"""Adam by the library's fused kernel, safe for weights that change their memory format."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_DEVICES = ("cpu", "cuda")


class FusedAdam(torch.optim.Adam):
    """``torch.optim.Adam`` in one kernel a step, where the device has one.

    Many small weights then take a fraction of the time. The kernel walks through the memory of
    weights, gradients and moments as each lies, and would pair the wrong numbers without a word
    where their formats differ: banks of weights turn channels-last at their first pass, moments
    from a checkpoint are contiguous. Here gradients and moments take their weight's format first.

    The kernel does not raise the version counters of weights; whoever caches something made from
    them should forget it after a step (``register_step_post_hook``).

    Args:
        params: as of ``torch.optim.Adam``, on one device.
        lr: learning rate, at least 0.
        options: all others of ``torch.optim.Adam``.

    Source: Kingma and Ba, "Adam", ICLR 2015.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, **options: Any) -> None:
        super().__init__(params, lr, **options)
        tensors = (p for group in self.param_groups for p in group["params"])
        if all(tensor.device.type in _DEVICES for tensor in tensors):
            for options in (self.defaults, *self.param_groups):
                options["fused"] = True

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, as of ``torch.optim.Adam``."""
        if closure is not None:
            raise NotImplementedError("FusedAdam takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                strides, state = parameter.stride(), self.state.get(parameter, {})
                if parameter.grad.stride() != strides:
                    parameter.grad = _like(parameter, parameter.grad)
                for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
                    if name in state and state[name].stride() != strides:
                        state[name] = _like(parameter, state[name])
        return super().step()


def _like(parameter: Tensor, values: Tensor) -> Tensor:
    """The values in a weight's memory format."""
    return torch.empty_like(parameter).copy_(values)
