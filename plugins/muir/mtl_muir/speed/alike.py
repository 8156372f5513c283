"""Networks that are alike and simple run as one: thirty linear ones cost little more than one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mtl_framework import PlainBackbone
from mtl_framework.data import Batch, Task

from ..method.decomposition import split_blocks
from ..method.weights import GeneratedWeight

# layers without state or chance whose batched form is fast
_SIMPLE = (nn.Linear, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Flatten, nn.Identity)


class Team:
    """A team is consecutive tasks; with ``together`` their networks differ in numbers alone.

    Args:
        first: position of the first task.
        last: position behind the last task.
        networks: the networks of these tasks.
        tasks: the tasks.
        generated: the generated weights of each network.
    """

    def __init__(
        self,
        first: int,
        last: int,
        networks: Sequence[nn.Module],
        tasks: Sequence[Task],
        generated: tuple[GeneratedWeight, ...],
    ) -> None:
        self.first, self.last = first, last
        self.together = last - first > 1
        self._networks = list(networks)
        self._objective = tasks[0].objective
        self._generated = generated

    def fits(self, batch: Batch) -> bool:
        """Say whether the batch's rows of these tasks make one tensor, all labelled."""
        own = slice(self.first, self.last)
        if any(batch.select(task).mask is not None for task in range(self.first, self.last)):
            return False
        rows = zip(batch.inputs[own], batch.targets[own], strict=True)
        shapes = {(inputs.shape, targets.shape) for inputs, targets in rows}
        return len(shapes) == 1

    def losses(self, blocks: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss (tasks,) of each, from the blocks (tasks * blocks, m, n) of all."""
        own, count = slice(self.first, self.last), self.last - self.first
        tensors = split_blocks(
            blocks.view(count, -1, *blocks.shape[1:]), tuple(w.grid for w in self._generated)
        )
        weights = {w.name: t for w, t in zip(self._generated, tensors, strict=True)}
        for name, _ in self._networks[0].named_parameters():
            weights[name] = torch.stack([net.get_parameter(name) for net in self._networks])
        template = self._networks[0]
        inputs, targets = torch.stack(batch.inputs[own]), torch.stack(batch.targets[own])

        def run(own_weights: dict[str, Tensor], rows: Tensor) -> Tensor:
            outputs: Tensor = functional_call(template, own_weights, (rows,))
            return outputs

        outputs: Tensor = torch.vmap(run, randomness="different")(weights, inputs)
        each = self._objective.losses(outputs.flatten(0, 1), targets.flatten(0, 1))
        return each.view(count, -1).mean(1)


def find_teams(
    networks: Sequence[nn.Module] | nn.ModuleList,
    backbones: Sequence[PlainBackbone],
    tasks: Sequence[Task],
    generated: Sequence[tuple[GeneratedWeight, ...]],
) -> tuple[Team, ...]:
    """Group all tasks in order; consecutive ones are together where they are alike."""
    teams, first = [], 0
    for last in range(1, len(tasks) + 1):
        if last < len(tasks) and _alike(first, last, networks, backbones, tasks, generated):
            continue
        own = [networks[task] for task in range(first, last)]
        teams.append(Team(first, last, own, tasks[first:last], generated[first]))
        first = last
    return tuple(teams)


def _alike(
    a: int,
    b: int,
    networks: Sequence[nn.Module] | nn.ModuleList,
    backbones: Sequence[PlainBackbone],
    tasks: Sequence[Task],
    generated: Sequence[tuple[GeneratedWeight, ...]],
) -> bool:
    if not _is_simple(networks[a]) or backbones[a].recipe != backbones[b].recipe:
        return False
    places = [[(weight.name, weight.grid) for weight in generated[task]] for task in (a, b)]
    return places[0] == places[1] and tasks[a].objective == tasks[b].objective


def _is_simple(network: nn.Module) -> bool:
    leaves = [m for m in network.modules() if not any(True for _ in m.children())]
    return all(type(leaf) in _SIMPLE for leaf in leaves) and not any(
        True for _ in network.buffers()
    )
