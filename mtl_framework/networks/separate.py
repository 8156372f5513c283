"""Every task has a network of its own in :class:`SeparateNetworks`."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..backbones.backbone import PlainBackbone
from ..backbones.recurrent import fresh_state, reset_state, stateless
from ..data.batches import Batch
from ..data.tasks import Task
from ..support.errors import MtlError
from .model import MultiTaskModel, ParameterCounts, Sharing
from .task_gradients import put_combined, reduced
from .weighting import GradientWeighting


class SeparateNetworks(MultiTaskModel):
    """Each task has a plain network, and the networks have nothing in common.

    They run one after the other, so that memory is that of the largest; ``memory_budget`` does not
    divide it further.

    Args:
        backbones: the backbones, one for each task; a model has the task's outputs as its classes.
        tasks: the tasks whose networks these are.

    Attributes:
        weighting: what makes one gradient of the tasks', see :meth:`accumulate_gradients`.

    Raises:
        MtlError: if a task has maps: a plain network gives one vector an example.
    """

    def __init__(self, backbones: Sequence[PlainBackbone], tasks: Sequence[Task]) -> None:
        super().__init__(tasks)
        for task in self.tasks:
            if task.objective.is_map:
                raise MtlError(
                    f"task {task.name!r} has maps, and each task here has a whole network of its "
                    "own, which gives numbers; no_sharing gives every task its own weights of one "
                    "backbone, and a head for maps"
                )
        self.weighting: GradientWeighting | None = None
        self.backbones = tuple(backbones)
        self.networks = nn.ModuleList(
            backbone.create(task.objective.num_outputs)
            for backbone, task in zip(self.backbones, self.tasks, strict=True)
        )

    def losses(self, batch: Batch) -> Float[Tensor, " tasks"]:
        """Return the mean loss of every task's labelled examples, differentiable; 0 without any."""
        return torch.stack([self.loss(batch, task) for task in range(len(self.tasks))])

    def loss(self, batch: Batch, task: int) -> Float[Tensor, ""]:
        """Return the mean loss of one task's labelled examples, differentiable; 0 without any.

        A recurrent network goes on from the batch before, or begins anew where the batch says so.
        """
        inputs, targets = batch.inputs[task], batch.targets[task]
        if batch.starts and batch.starts[task]:
            reset_state(self.networks[task])
        inputs, targets = batch.select(task).of(inputs, targets)
        if not len(inputs):
            return torch.zeros((), device=targets.device)
        outputs = self.predict(task, inputs)
        return self.tasks[task].objective.losses(outputs, targets).mean()

    def accumulate_gradients(
        self, batch: Batch, weights: Float[Tensor, " tasks"] | None = None
    ) -> Float[Tensor, " tasks"]:
        """Add the gradients of sum(weights * losses), task by task.

        With several processes gradients and losses are averaged over them. Under a ``weighting``
        a scalarizer weighs the losses as ever; an aggregator has nothing to do, as every weight
        belongs to one task, and leaves each its own task's gradient, undivided.

        Args:
            batch: examples of every task.
            weights: weights of the losses; default: 1 / tasks each, for the mean.

        Returns:
            the losses, detached.
        """
        if self.weighting is not None:
            return self._accumulate_weighted(self.weighting, batch, weights)
        tasks, losses = len(self.tasks), []
        with self.averaged_gradients():
            for task in range(tasks):
                loss = self.loss(batch, task)
                if loss.requires_grad:
                    part = loss / tasks if weights is None else loss * weights[task]
                    torch.autograd.backward(part)
                losses.append(loss.detach())
        return self.averaged_losses(batch, torch.stack(losses))

    def _accumulate_weighted(
        self, weighting: GradientWeighting, batch: Batch, weights: Float[Tensor, " tasks"] | None
    ) -> Float[Tensor, " tasks"]:
        tasks, losses = len(self.tasks), []
        gradients: list[dict[nn.Parameter, Tensor]] = []
        used = [[p for p in own.parameters() if p.requires_grad] for own in self.networks]
        for task, parameters in enumerate(used):
            loss = self.loss(batch, task)
            losses.append(loss.detach())
            part = loss if weights is None else loss * (weights[task] * tasks)
            own = (
                torch.autograd.grad(part, parameters, allow_unused=True)
                if loss.requires_grad
                else ()
            )
            pairs = zip(parameters, own, strict=False)  # none where the task has no label
            gradients.append({p: gradient for p, gradient in pairs if gradient is not None})
        averaged = self.averaged_losses(batch, torch.stack(losses))
        put_combined(weighting, reduced(gradients, used), averaged)
        return averaged

    def predict(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows *outputs"]:
        """Return the outputs of one task's network, in full precision."""
        return self.in_full_precision(self.networks[task], inputs)

    @torch.no_grad()
    def update_statistics(self, batch: Batch) -> None:
        """Run a training batch through every network; recurrent ones keep their state."""
        for task, network in enumerate(self.networks):
            with fresh_state(network):
                self.loss(batch, task)

    def extract(self, task: int) -> nn.Module:
        """Return a task's network, with its own copy of the weights.

        Recurrent modules in it begin every call anew, unless ``stateful`` is set.
        """
        backbone, network = self.backbones[task], self.networks[task]
        with torch.random.fork_rng(devices=[]):
            model = backbone.recipe.create(self.tasks[task].objective.num_outputs, False)
        model.to(next(network.parameters()).dtype)
        model.load_state_dict({k: v.detach().cpu() for k, v in network.state_dict().items()})
        return stateless(model).eval()

    def sharing(self) -> Sharing | None:
        """Say that every task has the whole network to itself."""
        names = tuple(task.name for task in self.tasks)
        return Sharing(("network",), names, torch.arange(len(names))[None])

    def parameter_counts(self) -> ParameterCounts:
        """Count all parameters, which are needed in training as afterwards."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return ParameterCounts(count, count)
