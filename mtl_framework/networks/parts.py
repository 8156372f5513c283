"""Parameters are found here by the part of networks over banks that they belong to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..routing.banks import WeightBank
from ..routing.mixture_bank import MixtureBank
from ..support.errors import MtlError
from .dense import deployed_parameters
from .model import ParameterCounts


@dataclass(frozen=True)
class NetworkParts:
    """A rewritten model and its banks, whose parameters can be asked for by part.

    Args:
        backbone: the backbone whose units have banks.
        weights_per_unit: K of every unit.
        model: the backbone's model, with banks in the places of its units.
        banks: for every unit its banks, places in execution order.
    """

    backbone: Backbone
    weights_per_unit: tuple[int, ...]
    model: nn.Module
    banks: Sequence[Sequence[WeightBank]]

    def of_bank(self, unit: int, weight: int) -> list[nn.Parameter]:
        """Return the parameters of one weight of a unit, over all its places."""
        return [p for bank in self.banks[unit] for p in bank.parameters_of(weight)]

    def bytes_per_weight(self) -> list[int]:
        """Return the bytes that one weight of each unit takes."""
        own = [self.of_bank(unit, 0) for unit in range(len(self.banks))]
        return [sum(p.numel() * p.element_size() for p in unit) for unit in own]

    def shared(self) -> list[nn.Parameter]:
        """Return the parameters that every task uses: those outside banks and heads."""
        banked = {p for banks in self.banks for bank in banks for p in bank.parameters()}
        return [p for p in self.model.parameters() if p not in banked]

    def scale_gradients(
        self, users: Float[Tensor, "units weights"], heads: Sequence[nn.Module]
    ) -> None:
        """Multiply a weight's gradient by T / users, and that of a head with one user by T."""
        tasks = len(heads)
        factors = [
            (list(head.parameters()), tasks / count) for head, count in Counter(heads).items()
        ]
        for unit, count in enumerate(self.weights_per_unit):
            for weight, number in enumerate(users[unit, :count].tolist()):
                if number > 0:
                    factors.append((self.of_bank(unit, weight), tasks / number))
        for parameters, factor in factors:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    def count(
        self, trained: int, assignment: Int64[Tensor, "units tasks"], heads: Sequence[nn.Module]
    ) -> ParameterCounts:
        """Count the parameters that an assignment needs, beside all ``trained`` ones."""
        used = set(self.shared())
        for head, path in zip(heads, assignment.T.tolist(), strict=True):
            used.update(deployed_parameters(head))
            for unit, weight in enumerate(path):
                used.update(self.of_bank(unit, weight))
        return ParameterCounts(trained, sum(p.numel() for p in used))


def calls_one_by_one(module: nn.Module) -> bool:
    """Say whether a module is a bank that calls several weights one by one, unless told not to."""
    is_mixture = isinstance(module, MixtureBank)
    return isinstance(module, WeightBank) and not is_mixture and len(module.copies) > 1


def draw_weights(network: nn.Module, scheme: str, backbone: Backbone) -> None:
    """Draw the weights of convolutions and linear layers anew.

    Args:
        network: the network whose layers are drawn.
        scheme: ``"library"`` leaves the model's own initialisation; ``"he_uniform"`` draws from
            U(-b, b) with b = sqrt(6 / fan_in) (He et al. 2015), biases stay.
        backbone: the backbone that the network was made of.

    Raises:
        MtlError: on another scheme, or if weights are pretrained.
    """
    if scheme == "library":
        return
    if scheme != "he_uniform":
        raise MtlError(f"initialization should be 'library' or 'he_uniform', found {scheme!r}")
    if backbone.recipe.pretrained:
        raise MtlError(
            "initialization='he_uniform' would overwrite pretrained weights; use 'library'"
        )
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            # drawn row by row, whatever way the weight lies in memory
            drawn = torch.empty_like(module.weight, memory_format=torch.contiguous_format)
            nn.init.kaiming_uniform_(drawn, nonlinearity="relu")
            with torch.no_grad():
                module.weight.copy_(drawn)
