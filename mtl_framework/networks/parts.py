"""Which parameters belong to which part of networks over banks of weights."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..routing.banks import WeightBank
from ..support.errors import MtlError
from .model import MultiTaskModel, ParameterCounts


class NetworkParts(MultiTaskModel):
    """The parts of :class:`~mtl_framework.networks.task_networks.TaskNetworks`, by name.

    Attributes:
        backbone: whose units have banks.
        weights_per_unit: K of every unit.
        skeleton: the backbone's model with banks in the places of its units.
        heads: one a task.
        assignment: (units, tasks), the weights in use.
    """

    backbone: Backbone
    weights_per_unit: tuple[int, ...]
    skeleton: nn.Module
    heads: nn.ModuleList
    assignment: Tensor
    _banks: Sequence[Sequence[WeightBank]]

    def head(self, task: int) -> nn.Module:
        """The head that a task predicts and is extracted with; a subclass may choose another."""
        return self.heads[task]

    def bank_parameters(self, unit: int, weight: int) -> list[nn.Parameter]:
        """Parameters of one weight of a unit, over all its places."""
        return [p for bank in self._banks[unit] for p in bank.copies[weight].parameters()]

    def head_parameters(self, task: int) -> list[nn.Parameter]:
        """Parameters of a task's head."""
        return list(self.heads[task].parameters())

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that every task uses: those outside banks and heads."""
        banked = {p for banks in self._banks for bank in banks for p in bank.parameters()}
        return [p for p in self.skeleton.parameters() if p not in banked]

    def scale_gradients_by_usage(self, users: Float[Tensor, "units weights"]) -> None:
        """Divide gradients of the mean loss by users instead of by the number of tasks.

        What the published code of learned weight sharing does (the paper's equation 13 does not): a
        weight's gradient is multiplied by T / users, a head's, which has one user, by T.

        Args:
            users: expected number of tasks that use each weight; 0 leaves its gradient alone.
        """
        tasks = len(self.tasks)
        factors = [(self.head_parameters(task), float(tasks)) for task in range(tasks)]
        for unit, count in enumerate(self.weights_per_unit):
            for weight, number in enumerate(users[unit, :count].tolist()):
                if number > 0:
                    factors.append((self.bank_parameters(unit, weight), tasks / number))
        for parameters, factor in factors:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    def initialize(self, scheme: str) -> None:
        """Draw the weights of convolutions and linear layers anew.

        Args:
            scheme: ``"library"`` leaves the model's own initialisation; ``"he_uniform"`` draws from
                U(-b, b) with b = sqrt(6 / fan_in) (He et al. 2015), biases stay.

        Raises:
            MtlError: on another scheme, or if weights are pretrained.
        """
        if scheme == "library":
            return
        if scheme != "he_uniform":
            raise MtlError(f"initialization should be 'library' or 'he_uniform', found {scheme!r}")
        if self.backbone.recipe.pretrained:
            raise MtlError(
                "initialization='he_uniform' would overwrite pretrained weights; use 'library'"
            )
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                # drawn row by row, whatever way the weight lies in memory
                drawn = torch.empty_like(module.weight, memory_format=torch.contiguous_format)
                nn.init.kaiming_uniform_(drawn, nonlinearity="relu")
                with torch.no_grad():
                    module.weight.copy_(drawn)

    def parameter_counts(self) -> ParameterCounts:
        """All parameters, and those reachable under :attr:`assignment`."""
        trained = sum(p.numel() for p in self.parameters())
        used = set(self.shared_parameters())
        for task in range(len(self.tasks)):
            used.update(self.head(task).parameters())
            for unit, weight in enumerate(self.assignment[:, task].tolist()):
                used.update(self.bank_parameters(unit, weight))
        return ParameterCounts(trained, sum(p.numel() for p in used))

    def banks(self) -> Iterator[WeightBank]:
        """All banks, unit by unit, places in execution order."""
        for banks in self._banks:
            yield from banks
