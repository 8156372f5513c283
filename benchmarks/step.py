"""An LWS iteration: the published loops against the routed pass, and the routed pass against
dense compute.

An iteration evaluates 8 sampled assignments and back-propagates through 8 others, with 16
examples a task. On a CPU the loops run in a process of their own whose memory allocator is as it
comes, as in the published code, and once more in this process, which keeps freed memory.
"""

import argparse
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection

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
    medians,
    plugin_backbone,
    seconds,
    timm_backbone,
)
from loops import Loops
from torch import Tensor

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks


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


def serve_loops(connection: Connection, number: int, threads: int) -> None:
    """Run iterations of a case's loops when told for which distribution; answer with seconds."""
    torch.set_num_threads(threads)
    case = CASES[number]
    tasks, backbone = make_tasks([case.classes] * case.tasks, case.shape), case.backbone()
    batch, loops = make_batch(tasks), Loops(backbone, tasks, case.weights)
    draws: dict[float | None, Sampler] = {}
    while (top := connection.recv()) != "stop":
        draw = draws.setdefault(top, Sampler(len(backbone.units), case.tasks, case.weights, top))
        connection.send(seconds(lambda: iteration(loops, batch, draw)))


@contextmanager
def published_loops(number: int, threads: int) -> Iterator[Connection]:
    """A process that runs a case's loops."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve_loops, args=(there, number, threads), daemon=True)
    process.start()
    there.close()  # or the end of the process would go unnoticed
    try:
        yield here
    finally:
        here.send("stop")
        process.join()


def dense_rows(network: TaskNetworks, batch: Batch, assignments: Tensor) -> tuple[int, float]:
    """Rows of the widest level, and rows of all levels over those of one-path-each."""
    (_, plan), *_ = network.plan(batch, assignments).micro_batches
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
    plain = network.extract(0).to(device).to(memory_format=layout).train()
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


def compare(number: int, options: argparse.Namespace) -> Iterator[Row]:
    """Loops against the routed pass, for each of three search distributions."""
    case, device = CASES[number], options.device
    cuda = device.startswith("cuda")
    tasks, backbone = make_tasks([case.classes] * case.tasks, case.shape), case.backbone()
    batch = make_batch(tasks, device=device)
    torch.manual_seed(0)
    network = TaskNetworks(backbone, tasks, case.weights).to(device)
    network.precision = "bf16" if cuda else "fp32"  # loops stay fp32, as published
    loops = Loops(backbone, tasks, case.weights).to(device)
    repeats = 3 if options.quick else case.repeats
    targets = (case.gpu_target,) * 3 if cuda else case.targets
    with nullcontext() if cuda else published_loops(number, options.threads) as published:
        for top, target in zip((None, 0.9, 0.99), targets, strict=True):
            draws = [Sampler(len(backbone.units), case.tasks, case.weights, top) for _ in range(2)]

            def routed() -> float:
                return seconds(lambda: iteration(network, batch, draws[0]), device)

            def here() -> float:
                return seconds(lambda: iteration(loops, batch, draws[1]), device)

            def apart() -> float:
                assert published is not None
                published.send(top)
                return float(published.recv())

            calls = (routed, here) if cuda else (routed, here, apart)
            found = medians(*calls, repeats=repeats)
            batched = {}
            if cuda:
                network.batched_weights = True
                batched["batched_ms"] = medians(routed, repeats=repeats)[0] * 1e3
                network.batched_weights = False
            _, share = dense_rows(network.train(), batch, draws[0]())
            kept = {} if cuda else {"loops_kept_ms": found[1] * 1e3, "kept": found[1] / found[0]}
            yield at_least(
                f"loops / routed, {case.name}, {top or 'uniform'}",
                found[-1] / found[0],
                target,
                routed_ms=found[0] * 1e3,
                loops_ms=found[-1] * 1e3,
                **kept,
                **batched,
                rows_left=share,
            )


def main() -> None:
    options = arguments(__doc__ or "")
    rows: list[Row] = []
    for number, case in enumerate(CASES):
        if (options.quick and not case.quick) or options.only not in case.name:
            continue
        for row in compare(number, options):
            rows.append(row)
            print(row, flush=True)
        if case.name in ("dkl_convnet", "resnet18"):
            rows.append(overhead(case, options.device, 5 if options.quick else 15))
            print(rows[-1], flush=True)
    finish(rows, options)


if __name__ == "__main__":
    main()
