"""An LWS iteration: the published loops against the routed pass, and the routed pass against
dense compute.

An iteration evaluates 8 sampled assignments and back-propagates through 8 others, with 16
examples a task.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from common import (
    Row,
    Sampler,
    arguments,
    at_least,
    at_most,
    finish,
    in_turn,
    make_batch,
    make_tasks,
    plugin_backbone,
    timm_backbone,
)
from loops import Loops
from torch import Tensor

from mtl_framework.backbones import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.network import TaskNetworks


@dataclass(frozen=True)
class Case:
    """A backbone, its tasks, and what is wanted at uniform, 0.9 and 0.99 (on a GPU: at each)."""

    name: str
    shape: tuple[int, int, int]
    tasks: int
    weights: int
    classes: int
    targets: tuple[float, float, float]
    quick: bool
    repeats: int
    gpu_target: float = 8

    def backbone(self) -> Backbone:
        if self.name.endswith("convnet"):
            return plugin_backbone(self.name, self.shape)
        if self.name == "resnet18 (CIFAR form)":
            return timm_backbone("resnet18", self.shape, small_images=True)
        if self.name == "vit_tiny, 4 blocks":
            args = {"patch_size": 4, "depth": 4}
            return timm_backbone("vit_tiny_patch16_224", self.shape, args=args)
        return timm_backbone(self.name, self.shape)


CASES = (
    Case("dkl_convnet", (1, 28, 28), 3, 3, 20, (4, 7, 12), True, 15, gpu_target=15),
    Case("omniglot_convnet", (1, 105, 105), 8, 20, 30, (3, 10, 20), False, 1),
    Case("resnet18", (3, 32, 32), 4, 4, 10, (2.5, 5, 8), False, 3),
    Case("resnet18 (CIFAR form)", (3, 32, 32), 20, 20, 5, (2, 5, 10), False, 1),
    Case("vit_tiny, 4 blocks", (3, 32, 32), 4, 4, 10, (2, 4, 8), False, 3),
)


def iteration(model: TaskNetworks | Loops, batch: Batch, draw: Sampler) -> None:
    """One NES evaluation and one accumulation of gradients."""
    model.eval()
    with torch.no_grad():
        model.losses(batch, draw())
    model.train()
    model.zero_grad()
    model.accumulate_gradients(batch, draw())


def dense_rows(network: TaskNetworks, batch: Batch, assignments: Tensor) -> tuple[int, float]:
    """Rows of the widest level, and rows of all levels over those of one-path-each."""
    (_, plan), *_ = network.plan(batch, assignments).chunks
    counts = [plan.num_groups(level) for level in range(plan.num_units + 1)]
    return counts[-1] * plan.examples, sum(counts) / (len(counts) * assignments[:, 0].numel())


def overhead(case: Case, device: str, repeats: int) -> Row:
    """Routed pass, all paths distinct, against one dense call over as many rows.

    Beside them the dense model on every path's rows alone, which distinct weights need at least.
    """
    backbone, tasks = case.backbone(), make_tasks([case.classes] * case.tasks, case.shape)
    torch.manual_seed(0)
    network = TaskNetworks(backbone, tasks, case.tasks).to(device).train()
    batch = make_batch(tasks, 16, device)
    own = torch.arange(case.tasks).expand(1, len(backbone.units), -1).contiguous()
    # the plain model in the form that suits the machine
    layout = torch.channels_last if device == "cpu" else torch.contiguous_format
    plain = network.extract(0).to(device, memory_format=layout).train()
    one = make_batch(tasks[:1], 16 * case.tasks, device)
    x = one.inputs[0].contiguous(memory_format=layout)

    def routed() -> None:
        network.zero_grad()
        network.accumulate_gradients(batch, own)

    def whole() -> None:
        plain.zero_grad()
        torch.autograd.backward(F.cross_entropy(plain(x), one.targets[0]))

    def apart() -> None:
        plain.zero_grad()
        for inputs, targets in zip(x.split(16), one.targets[0].split(16), strict=True):
            torch.autograd.backward(F.cross_entropy(plain(inputs), targets))

    a, b = in_turn(routed, whole, repeats, device)
    _, c = in_turn(routed, apart, repeats, device)
    return at_most(
        f"routing overhead, {case.name}, {case.tasks} paths",
        a / b,
        1.15,
        routed_ms=a * 1e3,
        dense_ms=b * 1e3,
        dense_apart_ms=c * 1e3,
    )


def main() -> None:
    options = arguments(__doc__ or "")
    rows: list[Row] = []
    for case in CASES:
        if (options.quick and not case.quick) or options.only not in case.name:
            continue
        tasks = make_tasks([case.classes] * case.tasks, case.shape)
        backbone = case.backbone()
        batch = make_batch(tasks, device=options.device)
        torch.manual_seed(0)
        network = TaskNetworks(backbone, tasks, case.weights).to(options.device)
        cuda = options.device.startswith("cuda")
        network.precision = "bf16" if cuda else "fp32"  # loops stay fp32, as published
        loops = Loops(backbone, tasks, case.weights).to(options.device)
        targets = (case.gpu_target,) * 3 if cuda else case.targets
        for top, target in zip((None, 0.9, 0.99), targets, strict=True):
            units = len(backbone.units)
            first = Sampler(units, case.tasks, case.weights, top)
            second = Sampler(units, case.tasks, case.weights, top)
            repeats = 3 if options.quick else case.repeats
            a, b = in_turn(
                lambda m=network, d=first: iteration(m, batch, d),  # type: ignore[misc]
                lambda m=loops, d=second: iteration(m, batch, d),  # type: ignore[misc]
                repeats,
                options.device,
            )
            _, share = dense_rows(network.train(), batch, first())
            rows.append(
                at_least(
                    f"loops / routed, {case.name}, {top or 'uniform'}",
                    b / a,
                    target,
                    routed_ms=a * 1e3,
                    loops_ms=b * 1e3,
                    rows_left=share,
                )
            )
            print(rows[-1], flush=True)
        del network, loops
        if case.name in ("dkl_convnet", "resnet18"):
            rows.append(overhead(case, options.device, 5 if options.quick else 15))
            print(rows[-1], flush=True)
    finish(rows, options)


if __name__ == "__main__":
    main()
