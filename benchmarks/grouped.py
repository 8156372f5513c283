"""What an LWS iteration of a small network could cost on a GPU, by another way of computing it.

Nothing is routed and no paths are merged: every (sample, task) pair has a group of its own in one
grouped call a layer, whose weights are taken from the banks by the assignment, so that every
iteration has the same shapes. Searching and back-propagating are recorded in one CUDA graph. This
is a measurement of what such a pass would give, not a pass of the framework: running averages and
missing labels are left out.
"""

import functools

import torch
import torch.nn.functional as F
from common import (
    Row,
    Sampler,
    arguments,
    finish,
    make_batch,
    make_tasks,
    medians,
    plugin_backbone,
    seconds,
)
from loops import Loops
from step import iteration
from torch import Tensor

SAMPLES, TASKS, WEIGHTS, EXAMPLES, CLASSES = 8, 3, 3, 16, 20
SHAPE = 1, 28, 28


class Grouped:
    """The papers' ``dkl_convnet`` for a fixed number of samples and tasks."""

    def __init__(self, device: str, bf16: bool) -> None:
        torch.manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, device=device).mul_(0.1).requires_grad_()

        self.bf16 = bf16
        self.convolutions = [drawn(WEIGHTS, 32, channels, 3, 3) for channels in (1, 32, 32)]
        self.scales = [drawn(WEIGHTS, 32) for _ in range(3)]
        self.shifts = [drawn(WEIGHTS, 32) for _ in range(3)]
        self.dense, self.heads = drawn(WEIGHTS, 128, 288), drawn(TASKS, CLASSES, 128)
        self.images = torch.rand(TASKS, EXAMPLES, *SHAPE, device=device)
        self.targets = torch.randint(CLASSES, (TASKS, EXAMPLES), device=device)
        self.assignments = torch.randint(WEIGHTS, (SAMPLES, 4, TASKS), device=device)

    def parameters(self) -> list[Tensor]:
        layers = [*self.convolutions, *self.scales, *self.shifts]
        return [*layers, self.dense, self.heads]

    def chosen(self, bank: Tensor, unit: int) -> Tensor:
        """(S * T, ...) the weight of every sample and task."""
        return bank.index_select(0, self.assignments[:, unit].reshape(-1))

    def loss(self) -> Tensor:
        groups = SAMPLES * TASKS
        x = (
            self.images.repeat(SAMPLES, 1, 1, 1, 1)
            .transpose(0, 1)
            .reshape(EXAMPLES, groups, 28, 28)
        )
        with torch.autocast("cuda", torch.bfloat16, enabled=self.bf16):
            for unit, weights in enumerate(self.convolutions):
                x = F.conv2d(x, self.chosen(weights, unit).flatten(0, 1), padding=1, groups=groups)
                scale, shift = (
                    self.chosen(bank[unit], unit).flatten() for bank in (self.scales, self.shifts)
                )
                x = F.batch_norm(x, None, None, scale, shift, True)
                x = F.max_pool2d(x.relu_(), 2)
            rows = x.reshape(EXAMPLES, groups, -1).transpose(0, 1)
            rows = torch.bmm(rows, self.chosen(self.dense, 3).transpose(1, 2)).relu_()
            scores = torch.bmm(rows, self.heads.repeat(SAMPLES, 1, 1).transpose(1, 2))
        targets = self.targets.repeat(SAMPLES, 1).flatten()
        return F.cross_entropy(scores.float().flatten(0, 1), targets)

    def iteration(self) -> None:
        with torch.no_grad():
            self.loss()
        for parameter in self.parameters():
            parameter.grad = None
        torch.autograd.backward(self.loss())

    def recorded(self) -> torch.cuda.CUDAGraph:
        """One iteration as a graph."""
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                self.iteration()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.iteration()
        return graph


def main() -> None:
    options = arguments(__doc__ or "")
    if not options.device.startswith("cuda"):
        print("grouped.py: needs a GPU, nothing was measured")
        return
    backbone, tasks = plugin_backbone("dkl_convnet", SHAPE), make_tasks([CLASSES] * TASKS, SHAPE)
    loops, batch = Loops(backbone, tasks, WEIGHTS).to("cuda"), make_batch(tasks, device="cuda")
    draw = Sampler(len(backbone.units), TASKS, WEIGHTS, None)
    repeats = 5 if options.quick else 25

    rows: list[Row] = []
    for precision in ("fp32", "bf16"):
        grouped = Grouped("cuda", precision == "bf16")
        graph = grouped.recorded()
        by_loops, eager, replayed = medians(
            lambda: seconds(lambda: iteration(loops, batch, draw), "cuda"),
            functools.partial(seconds, grouped.iteration, "cuda"),
            functools.partial(seconds, graph.replay, "cuda"),
            repeats=repeats,
        )
        times = {"loops_ms": by_loops, "grouped_ms": eager, "graph_ms": replayed}
        rows.append(
            Row(
                f"loops / grouped in a graph, {precision}",
                round(by_loops / replayed, 1),
                "",
                True,
                {name: value * 1e3 for name, value in times.items()},
            )
        )
    finish(rows, options)


if __name__ == "__main__":
    main()
