"""The published way to run an iteration: one sample, one task, one pass after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Task


class Loops(nn.Module):
    """K plain models whose parts are put together anew for every (sample, task) pair.

    Nothing is routed and nothing is merged: this is what a step costs without the framework.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[Task], weights: int) -> None:
        super().__init__()
        self.backbone, self.tasks = backbone, tuple(tasks)
        self.models = nn.ModuleList(backbone.create(2) for _ in range(weights))
        self.parts = [
            [[m.get_submodule(place.names[0]) for place in places] for m in self.models]
            for places in backbone.places
        ]
        self.shell = [self.models[0]]  # in a list: its parts change from pass to pass
        for model in self.models:
            model.set_submodule(backbone.classifier, nn.Identity())
        self.heads = nn.ModuleList(
            nn.Linear(backbone.num_features, task.objective.num_outputs) for task in tasks
        )

    def loss(self, batch: Batch, column: Sequence[int], task: int) -> Tensor:
        """Mean loss of one task's examples on one path."""
        model = self.shell[0]
        for places, parts, weight in zip(self.backbone.places, self.parts, column, strict=True):
            for place, module in zip(places, parts[weight], strict=True):
                for name in place.names:
                    model.set_submodule(name, module)
        outputs = self.outputs(model, batch.inputs[task], task)
        return self.tasks[task].objective.losses(outputs, batch.targets[task]).mean()

    def outputs(self, model: nn.Module, inputs: Tensor, task: int) -> Tensor:
        """Scores of one task's inputs."""
        scores: Tensor = self.heads[task](model(inputs))
        return scores

    @torch.no_grad()
    def losses(self, batch: Batch, assignments: Tensor) -> Tensor:
        """Losses (S, T) without gradients."""
        return torch.stack(
            [
                torch.stack([self.loss(batch, a[:, t].tolist(), t) for t in range(len(self.tasks))])
                for a in assignments
            ]
        )

    def accumulate_gradients(self, batch: Batch, assignments: Tensor) -> Tensor:
        """Back-propagate the mean of the losses, column by column."""
        losses = torch.zeros(len(assignments), len(self.tasks))
        for s, assignment in enumerate(assignments):
            for t in range(len(self.tasks)):
                loss = self.loss(batch, assignment[:, t].tolist(), t)
                torch.autograd.backward(loss / losses.numel())
                losses[s, t] = loss.detach()
        return losses
