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

from mtl_framework.networks.task_networks import TaskNetworks


def main() -> None:
    options = arguments(__doc__ or "")
    device = options.device
    rows: list[Row] = []
    for name, shape, count in (("dkl_convnet", (1, 28, 28), 3), ("resnet18", (3, 32, 32), 4)):
        if options.only not in name:
            continue
        tasks = make_tasks([10] * count, shape)
        backbone = (
            plugin_backbone(name, shape) if name == "dkl_convnet" else timm_backbone(name, shape)
        )
        batch = make_batch(tasks, device=device)
        units = len(backbone.units)
        repeats = 5 if options.quick else 40 if name == "dkl_convnet" else 15

        # full sharing: what one would write by hand, each task's batch through one trunk
        full = TaskNetworks(backbone, tasks, 1).to(device).train()
        full_step = torch.optim.Adam(full.parameters(), 1e-3, fused=True)
        shared = torch.zeros(1, units, count, dtype=torch.int64)
        trunk = backbone.create(2)
        trunk.set_submodule(backbone.classifier, nn.Identity())
        heads = nn.ModuleList(nn.Linear(backbone.num_features, 10) for _ in tasks)
        hand = nn.ModuleList([trunk, heads]).to(device).train()
        hand_step = torch.optim.Adam(hand.parameters(), 1e-3)

        def framework(
            network: TaskNetworks, step: torch.optim.Optimizer, assignment: torch.Tensor
        ) -> None:
            step.zero_grad()
            network.accumulate_gradients(batch, assignment)
            step.step()

        def by_hand() -> None:
            hand_step.zero_grad()
            losses = [
                F.cross_entropy(head(trunk(x)), y)
                for head, x, y in zip(heads, batch.inputs, batch.targets, strict=True)
            ]
            torch.autograd.backward(torch.stack(losses).mean())
            hand_step.step()

        a, b = in_turn(lambda: framework(full, full_step, shared), by_hand, repeats, device)
        rows.append(
            at_most(f"full sharing / by hand, {name}", a / b, 1.05, ms=a * 1e3, hand_ms=b * 1e3)
        )

        # no sharing: T networks, each with a loop of its own
        own_network = TaskNetworks(backbone, tasks, count).to(device).train()
        own_step = torch.optim.Adam(own_network.parameters(), 1e-3, fused=True)
        own = torch.arange(count).expand(1, units, -1).contiguous()
        models = [backbone.create(10).to(device).train() for _ in tasks]
        steps = [torch.optim.Adam(model.parameters(), 1e-3) for model in models]

        def separate() -> None:
            for model, step, x, y in zip(models, steps, batch.inputs, batch.targets, strict=True):
                step.zero_grad()
                torch.autograd.backward(F.cross_entropy(model(x), y))
                step.step()

        a, b = in_turn(lambda: framework(own_network, own_step, own), separate, repeats, device)
        rows.append(
            at_most(f"no sharing / {count} loops, {name}", a / b, 1.0, ms=a * 1e3, loops_ms=b * 1e3)
        )
    finish(rows, options)


if __name__ == "__main__":
    main()
