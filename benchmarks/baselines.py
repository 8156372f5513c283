"""What the framework adds to plain training: full and no sharing against hand-written loops."""

import torch
import torch.nn.functional as F
from common import (
    Row,
    arguments,
    at_most,
    finish,
    in_turn,
    make_batch,
    make_tasks,
    plugin_backbone,
    timm_backbone,
)
from torch import nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Task
from mtl_framework.networks.task_networks import TaskNetworks


def full_sharing(
    name: str, backbone: Backbone, tasks: list[Task], batch: Batch, device: str, repeats: int
) -> Row:
    """Against what one would write by hand: each task's batch through one trunk."""
    network = TaskNetworks(backbone, tasks, 1).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    shared = torch.zeros(1, len(backbone.units), len(tasks), dtype=torch.int64)
    trunk = backbone.create(2)
    trunk.set_submodule(backbone.classifier, nn.Identity())
    heads = nn.ModuleList(nn.Linear(backbone.num_features, 10) for _ in tasks)
    hand = nn.ModuleList([trunk, heads]).to(device).train()
    hand_optimizer = torch.optim.Adam(hand.parameters(), 1e-3)

    def framework() -> None:
        step(network, optimizer, batch, shared)

    def by_hand() -> None:
        hand_optimizer.zero_grad()
        losses = [
            F.cross_entropy(head(trunk(x)), y)
            for head, x, y in zip(heads, batch.inputs, batch.targets, strict=True)
        ]
        torch.autograd.backward(torch.stack(losses).mean())
        hand_optimizer.step()

    a, b = in_turn(framework, by_hand, repeats, device)
    return at_most(f"full sharing / by hand, {name}", a / b, 1.05, ms=a * 1e3, hand_ms=b * 1e3)


def no_sharing(
    name: str, backbone: Backbone, tasks: list[Task], batch: Batch, device: str, repeats: int
) -> Row:
    """Against as many networks as tasks, each with a loop of its own."""
    count = len(tasks)
    network = TaskNetworks(backbone, tasks, count).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    own = torch.arange(count).expand(1, len(backbone.units), -1).contiguous()
    models = [backbone.create(10).to(device).train() for _ in tasks]
    optimizers = [torch.optim.Adam(model.parameters(), 1e-3) for model in models]

    def framework() -> None:
        step(network, optimizer, batch, own)

    def separate() -> None:
        parts = zip(models, optimizers, batch.inputs, batch.targets, strict=True)
        for model, one, x, y in parts:
            one.zero_grad()
            torch.autograd.backward(F.cross_entropy(model(x), y))
            one.step()

    a, b = in_turn(framework, separate, repeats, device)
    return at_most(f"no sharing / {count} loops, {name}", a / b, 1.0, ms=a * 1e3, loops_ms=b * 1e3)


def step(
    network: TaskNetworks, optimizer: torch.optim.Optimizer, batch: Batch, assignment: torch.Tensor
) -> None:
    """One step of the framework."""
    optimizer.zero_grad()
    network.accumulate_gradients(batch, assignment)
    optimizer.step()


def main() -> None:
    options = arguments(__doc__ or "")
    rows: list[Row] = []
    for name, shape, count in (("dkl_convnet", (1, 28, 28), 3), ("resnet18", (3, 32, 32), 4)):
        if options.only not in name:
            continue
        own = name == "dkl_convnet"
        backbone = plugin_backbone(name, shape) if own else timm_backbone(name, shape)
        tasks = make_tasks([10] * count, shape)
        batch = make_batch(tasks, device=options.device)
        repeats = 5 if options.quick else 40 if own else 15
        for measure in (full_sharing, no_sharing):
            rows.append(measure(name, backbone, tasks, batch, options.device, repeats))
    finish(rows, options)


if __name__ == "__main__":
    main()
