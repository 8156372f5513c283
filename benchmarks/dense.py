"""Maps: an LWS iteration against plain loops, and what a pyramid adds to a pass that classifies.

Three tasks with maps (segmentation, depth, normals) have FPN heads on 64x64 images. An iteration
evaluates 8 sampled assignments and back-propagates through 8 others, with 8 examples a task. Both
sides have the same weights, and their losses are compared before anything is timed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from common import Row, Sampler, arguments, at_least, finish, in_turn, timm_backbone
from loops import Loops
from step import iteration
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.maps import FeatureMap, forward_maps
from mtl_framework.data import (
    Batch,
    Classification,
    Depth,
    Examples,
    HeadChoice,
    Normals,
    Objective,
    Segmentation,
    Task,
)
from mtl_framework.networks.decoders.choices import fpn, linear
from mtl_framework.networks.dense import maps_of_tasks
from mtl_framework.networks.task_networks import TaskNetworks

SIZE, ROWS, WEIGHTS = 64, 8, 3
FPN, LINEAR = HeadChoice("fpn", fpn, {"width": 64}), HeadChoice("linear", linear)


@dataclass(frozen=True)
class Case:
    """A backbone, and the ratio of loops to the routed pass that is aimed at, as for classes."""

    name: str
    args: dict[str, object]
    target: float
    quick: bool


CASES = (
    Case("resnet18", {}, 2.5, True),
    Case("vit_tiny_patch16_224", {"patch_size": 8, "depth": 4}, 2, False),
)


class DenseLoops(Loops):
    """Plain models and heads for maps, one sample, one task, one pass after the other."""

    def __init__(self, network: TaskNetworks) -> None:
        super().__init__(network.backbone, network.tasks, WEIGHTS)
        self.maps: list[tuple[FeatureMap, ...]] = maps_of_tasks(network.backbone, network.tasks)
        for weight, model in enumerate(self.models):
            path = [weight] * len(network.backbone.units)
            plain = network.extract_path(0, path)
            state = {
                key.removeprefix("model."): value for key, value in plain.state_dict().items()
                if key.startswith("model.")
            }  # fmt: skip
            model.load_state_dict(state)
        heads = [network.head(task) for task in range(len(self.tasks))]
        self.heads = nn.ModuleList(type(head)(head.decoder, head.size) for head in heads)
        self.to(network.device)

    def outputs(self, model: nn.Module, inputs: Tensor, task: int) -> Tensor:
        """Maps of one task's inputs."""
        _, maps = forward_maps(model, inputs, self.maps[task], False)
        made: Tensor = self.heads[task](maps)
        return made


def tasks_of(kinds: Sequence[str], head: HeadChoice = FPN) -> list[Task]:
    """Tasks on random images."""
    objectives: dict[str, tuple[Objective, Tensor]] = {
        "segmentation": (Segmentation(13), torch.randint(13, (4, SIZE, SIZE))),
        "depth": (Depth(), 1 + torch.rand(4, SIZE, SIZE)),
        "normals": (Normals(), torch.randn(4, 3, SIZE, SIZE)),
        "classes": (Classification(13), torch.arange(4)),
    }
    made = []
    for number, kind in enumerate(kinds):
        objective, targets = objectives[kind]
        data = Examples(torch.rand(4, 3, SIZE, SIZE), targets)
        own = head if objective.is_map else None
        made.append(Task(f"{kind} {number}", objective, data, data, head=own))
    return made


def batch_of(tasks: Sequence[Task], device: str) -> Batch:
    """Random inputs, targets of the tasks' own examples."""
    rows = torch.arange(ROWS) % 4
    inputs = tuple(torch.rand(ROWS, 3, SIZE, SIZE, device=device) for _ in tasks)
    return Batch(inputs, tuple(task.train.targets[rows].to(device) for task in tasks))


def build(backbone: Backbone, tasks: Sequence[Task], device: str) -> TaskNetworks:
    torch.manual_seed(0)
    return TaskNetworks(backbone, tasks, WEIGHTS).to(device)


def check_same(network: TaskNetworks, loops: Loops, batch: Batch, draw: Sampler) -> None:
    """Both sides compute one thing."""
    given = draw(2)
    network.eval(), loops.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            network.losses(batch, given), loops.losses(batch, given), rtol=1e-3, atol=1e-4
        )


def against_loops(case: Case, tops: Sequence[float], repeats: int, device: str) -> list[Row]:
    """An iteration by loops over one that is routed."""
    backbone = timm_backbone(case.name, (3, SIZE, SIZE), args=case.args)
    tasks = tasks_of(("segmentation", "depth", "normals"))
    network, batch = build(backbone, tasks, device), batch_of(tasks, device)
    loops, rows = DenseLoops(network), []
    check_same(network, loops, batch, Sampler(len(backbone.units), 3, WEIGHTS, None))
    for top in tops:
        draws = [Sampler(len(backbone.units), 3, WEIGHTS, top) for _ in range(2)]
        slow, fast = in_turn(
            lambda: iteration(loops, batch, draws[0]),
            lambda: iteration(network, batch, draws[1]),
            repeats,
            device,
        )
        what = f"{case.name}, maps, pi {top}: loops / routed"
        rows.append(at_least(what, slow / fast, case.target, loops_s=slow, routed_s=fast))
    return rows


def of_the_pyramid(case: Case, repeats: int, device: str) -> list[Row]:
    """A pass that gives maps over one that classifies, with everything shared."""
    backbone = timm_backbone(case.name, (3, SIZE, SIZE), args=case.args)
    given = torch.zeros(1, len(backbone.units), 3, dtype=torch.int64)

    def passes(tasks: Sequence[Task]) -> tuple[TaskNetworks, Batch]:
        return build(backbone, tasks, device), batch_of(tasks, device)

    def step(network: TaskNetworks, batch: Batch) -> None:
        network.zero_grad()
        network.accumulate_gradients(batch, given)

    classes, rows = passes(tasks_of(["classes"] * 3)), []
    for name, head in (("linear heads", LINEAR), ("FPN heads", FPN)):
        dense = passes(tasks_of(("segmentation", "depth", "normals"), head))
        slow, fast = in_turn(lambda: step(*dense), lambda: step(*classes), repeats, device)
        what = f"{case.name}, {name}: maps / classes"
        rows.append(Row(what, round(slow / fast, 3), "", True, {"maps_s": slow, "classes_s": fast}))
    return rows


def main() -> None:
    options = arguments(__doc__ or "")
    rows: list[Row] = []
    for case in CASES:
        if options.only not in case.name or (options.quick and not case.quick):
            continue
        tops, repeats = ((0.9,), 1) if options.quick else ((1 / WEIGHTS, 0.9, 0.99), 3)
        rows += against_loops(case, tops, repeats, options.device)
        rows += of_the_pyramid(case, 1 if options.quick else 10, options.device)
    finish(rows, options)


if __name__ == "__main__":
    main()
