"""A backbone is tried: extracted networks have to compute what the networks inside do."""

from dataclasses import dataclass, field

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..backbones.inputs import probe_inputs
from ..data.batches import Batch
from ..data.tasks import Examples, Regression, Task
from ..routing.replace_norms import BATCH_NORMS
from .task_networks import TaskNetworks

_PREFIXES = ("BatchNorm", "SyncBatchNorm", "FrozenBatchNorm", "FilterResponseNorm")


def normalization_kinds(backbone: Backbone) -> tuple[str, ...]:
    """Return the classes of the backbone's normalisation layers, by name."""
    with torch.random.fork_rng(devices=[]):
        model = backbone.recipe.create(2, pretrained=False)
    reading_blocks = {
        type(module).__name__
        for module in model.modules()
        if isinstance(module, (*BATCH_NORMS, BatchNormAct2d)) or "Norm" in type(module).__name__
    }
    # modules that hold norms among other layers are called after them too
    return tuple(sorted(name for name in reading_blocks if _is_norm(model, name)))


def _is_norm(model: nn.Module, name: str) -> bool:
    example = next(m for m in model.modules() if type(m).__name__ == name)
    weight = getattr(example, "weight", None)
    has_layers = any(any(True for _ in child.parameters()) for child in example.children())
    return not has_layers and (weight is None or weight.ndim == 1)


@dataclass(frozen=True)
class _Seen(Regression):
    """This objective keeps the outputs that it is asked to judge."""

    outputs: list[Tensor] = field(default_factory=list)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.outputs.append(outputs.detach())
        return super().losses(outputs, targets)


def extraction_error(backbone: Backbone, seed: int = 0) -> float:
    """Measure how far tasks' extracted networks are from the networks inside the framework.

    Three tasks with different numbers of outputs, two weights a unit and a random assignment are
    run in one pass on one common input, in evaluation mode; running averages are random. Every
    task's network is then extracted and run alone on the same input.

    Returns:
        the largest difference, divided by the largest output.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = probe_inputs(2, backbone.input_shape, backbone.input_dtype)
        objectives = [_Seen(width) for width in (2, 3, 5)]
        zeros = [Examples(inputs, torch.zeros(2, width)) for width in (2, 3, 5)]
        tasks = [
            Task(str(number), objective, train=examples, test=examples)
            for number, (objective, examples) in enumerate(zip(objectives, zeros, strict=True))
        ]
        network = TaskNetworks(backbone, tasks, 2).eval()
        for module in network.modules():
            for key in ("running_mean", "running_var"):
                value = getattr(module, key, None)
                if isinstance(value, Tensor):
                    value.add_(0.1 * torch.rand_like(value))
        network.assignment.copy_(torch.randint(2, network.assignment.shape))
        batch = Batch((inputs,) * 3, tuple(task.train.targets for task in tasks), True)
        error, scale = 0.0, 0.0
        with torch.no_grad():
            network.losses(batch, network.assignment[None])
            for number, objective in enumerate(objectives):
                alone = network.extract(number)(inputs)
                error = max(error, float((alone - objective.outputs[-1]).abs().max()))
                scale = max(scale, float(alone.abs().max()))
    return error / scale
