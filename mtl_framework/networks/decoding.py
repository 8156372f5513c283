"""Networks are made to return outputs in the units of the targets."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..backbones.backbone import PlainBackbone
from ..backbones.class_layers import class_layers
from ..data.objectives import Objective, Regression
from ..support.errors import MtlError


class Decoded(nn.Module):
    """This network decodes the outputs of another one; see :meth:`Objective.decode`."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, inputs: Tensor) -> Float[Tensor, "rows *outputs"]:
        """Compute outputs in the units of the targets."""
        return self.objective.decode(self.network(inputs))


def decoded(network: nn.Module, objective: Objective, backbone: PlainBackbone) -> nn.Module:
    """Return one task's network with outputs in the units of the targets.

    Where targets were standardised, that is undone in the one layer that gives the outputs, so that
    the network stays a plain one; elsewhere :class:`Decoded` does it behind the network, as it does
    exp for counts, the mean of a normal law, and levels.

    Args:
        network: the task's network by itself; it stays as it is.
        objective: the objective of the task.
        backbone: the backbone that the network was made of.
    """
    if not objective.decodes:
        return network
    if type(objective) is not Regression:
        return Decoded(copy.deepcopy(network), objective)
    network = copy.deepcopy(network)
    names = _output_layers(network, objective, backbone)
    layer = dict(network.named_modules()).get(names[0]) if len(names) == 1 else None
    if not isinstance(layer, nn.Linear | nn.Conv2d) or layer.bias is None:
        return Decoded(network, objective)
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    mean, deviation = (
        torch.tensor(numbers, dtype=torch.float64, device=weight.device)
        for numbers in (objective.means, objective.deviations)
    )
    with torch.no_grad():
        # outputs * d + m: every row of the weight times its own d; (C, in) or (C, in, 1, 1)
        layer.weight.copy_(weight * deviation.view(-1, *[1] * (weight.ndim - 1)))
        layer.bias.copy_(bias * deviation + mean)
    return network


class Probabilities(nn.Module):
    """This network applies :meth:`Objective.probabilities` to logits."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, inputs: Tensor) -> Float[Tensor, "rows *outputs"]:
        """Compute probabilities from scores."""
        probabilities = self.objective.probabilities(self.network(inputs))
        assert probabilities is not None
        return probabilities


def with_probabilities(network: nn.Module, objective: Objective, task: str) -> nn.Module:
    """Return a network whose outputs are probabilities.

    Args:
        network: a network that returns logits.
        objective: objective of the task.
        task: name of the task, for errors.

    Raises:
        MtlError: if the task has none.
    """
    if type(objective).probabilities is Objective.probabilities:
        raise MtlError(f"outputs of task {task!r} are no probabilities: leave out --probabilities")
    return Probabilities(network, objective)


def _output_layers(
    network: nn.Module, objective: Objective, backbone: PlainBackbone
) -> tuple[str, ...]:
    """Return the layers that give the outputs; none where more than the backbone's is there."""
    plain, wider = (
        backbone.recipe.create(objective.num_outputs + more, pretrained=False) for more in (0, 1)
    )
    same = {name: value.shape for name, value in plain.state_dict().items()}
    if {name: value.shape for name, value in network.state_dict().items()} != same:
        return ()
    try:
        return class_layers(plain, wider, backbone.name)
    except MtlError:
        return ()
