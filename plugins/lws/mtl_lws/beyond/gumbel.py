"""The search distribution can move by gradients through a Gumbel-softmax instead of by ranks.

With g drawn from a Gumbel distribution, a = argmax_k (log pi_k + g_k) is a draw from pi. The paper
ranks such draws (natural evolution strategy); here they are differentiated, on the same pi:

    s = softmax((log pi + g) / temperature),    m = 1 + s_a - stopgrad(s_a).

The drawn weight alone runs, and what it contributes is multiplied by m, whose value is 1. So a pass
is that of the drawn paths, and the logits log pi get dLoss/dm times the derivative of s_a.

Sources: the multiplier of one path, on a block's input, is that of the published code of routing
networks (Rosenbaum et al., ICLR 2018; ``cle-ros/RoutingNetworks``, ``GumbelSoftmax.py``);
Gumbel-softmax over K weights a unit and task, temperatures from 5 to 0.1, Adam on the logits and
their gradient on held-out examples are branched search's (BMTAS, Brueggemann et al., BMVC 2020),
which runs all K weights, K times the cost. The gradient of one path is biased: the weights
that were not drawn have none. Two things that all weights of a unit have in common, and that cancel
in the gradient of all K, are therefore left out here (own): what the unit merely passes on (m
multiplies what it adds to what it reads), and the mean of dLoss/dm over a step's draws. The
networks are evaluated: behind a norm that uses its batch a factor of all channels has no effect.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from mtl_framework import SearchDistribution, TaskNetworks, all_reduce_mean, unit_sensitivities
from mtl_framework.data import Batch

from . import price


class GumbelSearch:
    """This search moves a distribution by gradients, with Adam on the logits of every task.

    Args:
        distribution: the search distribution, whose ``pi`` is moved.
        temperatures: of the soft choices, at the start of the search and at its end.
        p_min: lowest probability of a choice.
        costs: of every unit, where weights have a price.
        price: price of parameters.

    Attributes:
        temperature: the present one.
    """

    def __init__(
        self,
        distribution: SearchDistribution,
        temperatures: tuple[float, float],
        p_min: float,
        costs: Float64[Tensor, " units"] | None = None,
        price: float = 0.0,
    ) -> None:
        self.distribution = distribution
        self.temperatures = temperatures
        self.temperature = temperatures[0]
        self._p_min, self._costs, self._price = p_min, costs, price
        # one tensor a task: Adam leaves those alone that have no gradient
        self._logits = [
            task.log().requires_grad_() for task in distribution.pi.clone().unbind(1)
        ]  # (units, weights) each
        self._optimizer = torch.optim.Adam(self._logits)

    def cool(self, done: float) -> None:
        """Set the temperature after a share ``done`` (0 to 1) of the search; it falls linearly."""
        first, last = self.temperatures
        self.temperature = first + (last - first) * min(1.0, done)

    def step(
        self,
        network: TaskNetworks,
        batch: Batch,
        samples: int,
        rate: float,
        generator: torch.Generator,
    ) -> Float[Tensor, "samples tasks"]:
        """Move the distribution down the gradient of the loss, and of the price; return losses.

        Tasks without a label in any process's batch stay where they are.

        Args:
            network: the networks, in evaluation mode.
            batch: the batch that the loss is measured on.
            samples: number of draws, over which the gradient is averaged.
            rate: Adam's learning rate.
            generator: of the Gumbel noise.
        """
        noise = gumbel_noise((samples, *self.distribution.pi.shape), generator)
        chosen = (self.distribution.pi.log() + noise).argmax(-1)
        sensitivities, losses = unit_sensitivities(network, batch, chosen)
        gradient = self.gradient(noise, chosen, sensitivities.double().cpu())
        present = all_reduce_mean(batch.label_weights().to(losses)).cpu() > 0
        self._move(gradient, present.tolist(), rate)
        return losses

    def gradient(
        self,
        noise: Float64[Tensor, "samples units tasks weights"],
        chosen: Int64[Tensor, "samples units tasks"],
        sensitivities: Float64[Tensor, "samples units tasks"],
    ) -> Float64[Tensor, "units tasks weights"]:
        """Return the gradient of mean loss plus price by the logits.

        Args:
            noise: draws of a standard Gumbel distribution.
            chosen: the weights with the largest sum of logit and noise.
            sensitivities: derivative of each task's loss by its multiplier at each unit.
        """
        logits = self.distribution.pi.log().requires_grad_()
        soft = ((logits + noise) / self.temperature).softmax(-1)
        multipliers = soft.gather(-1, chosen[..., None]).squeeze(-1)
        tasks = sensitivities.shape[-1]
        total = (centred(sensitivities) * multipliers).sum() / (len(noise) * tasks)
        if self._costs is not None:
            total = total + self._price * price.expectation(logits.softmax(-1), self._costs)
        (gradient,) = torch.autograd.grad(total, logits)
        return gradient

    def _move(
        self, gradient: Float64[Tensor, "units tasks weights"], present: list[bool], rate: float
    ) -> None:
        for task, logits in enumerate(self._logits):
            logits.data.copy_(self.distribution.pi[:, task].log())
            logits.grad = gradient[:, task].clone() if present[task] else None
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        pi = torch.stack([logits.detach().softmax(-1) for logits in self._logits], 1)
        pi = pi.clamp(min=self._p_min)
        self.distribution.load_state_dict({"pi": pi / pi.sum(-1, keepdim=True)})

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's moments; the logits are those of the distribution."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self._optimizer.load_state_dict(dict(state))


def centred(values: Float64[Tensor, "samples *rest"]) -> Float64[Tensor, "samples *rest"]:
    """Subtract from every sample's value the mean of the other samples'.

    Of 1, 2, 6 the others' means are 4, 3.5, 1.5, so that -3, -1.5, 4.5 are returned. One sample
    alone is returned as it is.
    """
    samples = len(values)
    return values if samples == 1 else (values - values.mean(0)) * (samples / (samples - 1))


def gumbel_noise(
    shape: tuple[int, ...], generator: torch.Generator
) -> Float64[Tensor, "samples units tasks weights"]:
    """Draw from a standard Gumbel distribution, -log(-log(U)), U uniform."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    return -(-uniform.clamp(min=1e-20, max=1 - 1e-16).log()).log()
