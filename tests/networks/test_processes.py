"""Two real processes: what they average, and that missing labels of one leave both alike."""

import os
from importlib.util import find_spec
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mtl_soft_ordering.order import SoftOrder
from mtl_soft_sharing.nddr import NddrLayer
from mtl_soft_sharing.network import ColumnNetworks
from support.dense import Dense
from support.makers import make_assignments, make_batch, make_tasks
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from mtl_framework.backbones.build import build_backbone, build_plain
from mtl_framework.backbones.config import BackboneConfig, PlainBackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite, Task
from mtl_framework.networks.mixture_networks import MixtureNetworks
from mtl_framework.networks.separate import SeparateNetworks
from mtl_framework.networks.task_gradients import accumulate_weighted, task_gradients
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.networks.weighting import GradientWeighting

TASKS, WORLD = 3, 2
CASES = ("shared", "task", "cumulative", "separate", "fused", "ordered")
METHODS = ("upgrad", "pcgrad", "uncertainty") if find_spec("torchjd") else ()


class Norms(nn.Module):
    """Two linear units with a batch norm."""

    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(in_chans, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.two = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"one": ["one"], "two": ["two"]}

    def get_classifier(self) -> nn.Linear:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.two(self.one(x)))
        return y


def make(case: str) -> TaskNetworks | SeparateNetworks:
    torch.manual_seed(0)
    tasks = make_tasks(shape=(6,))
    if case == "separate":
        config = PlainBackboneConfig(name="norms")
        plain = [
            build_plain(config, (6,), torch.float32, task.objective.num_outputs, Norms)
            for task in tasks
        ]
        return SeparateNetworks(plain, tasks).double()
    if case in ("fused", "ordered"):
        return _mixed(case, tasks)
    mode = "shared" if case == "cumulative" else case
    backbone = build_backbone(BackboneConfig(name="norms", normalization=mode), 6, None, Norms)
    network = TaskNetworks(backbone, tasks, 3).double()
    for module in network.modules():
        if case == "cumulative" and hasattr(module, "momentum"):
            module.momentum = None  # type: ignore[assignment]
    return network


def _mixed(case: str, tasks: list[Task]) -> TaskNetworks:
    """Columns whose channels are fused, with norms behind; layers in orders of the tasks' own."""
    dense = BackboneConfig(name="dense", args={"norm": True}, normalization="task")
    backbone = build_backbone(dense, 6, None, Dense, input_shape=(6,))
    if case == "ordered":
        order = SoftOrder(TASKS, 2)
        return MixtureNetworks(backbone, tasks, 1, pools=[[0, 1]], shares=[order]).double()
    layers: dict[int, nn.Module] = {unit: NddrLayer(TASKS, 0.8, (8,), 0) for unit in (0, 1)}
    return ColumnNetworks(backbone, Suite("drawn", tasks), layers).double()


def part(rank: int, lacking: bool) -> Batch:
    """A process's own batch; ``lacking``: one process has no label of task 1, one none of 2."""
    batch = make_batch(make_tasks(shape=(6,)), sizes=5, seed=rank)
    if not lacking:
        return batch
    none, some = torch.zeros(5).bool(), torch.tensor([1, 1, 0, 1, 0]).bool()
    masks = (some, some, none) if rank == 0 else (None, none, some)
    return Batch(batch.inputs, batch.targets, labelled=masks)


def outcome(case: str, rank: int, lacking: bool) -> dict[str, Any]:
    """One step; the weights of task 1 are its own, the others share some."""
    network = make(case)
    first = next(network.parameters())
    first.grad = torch.ones_like(first)  # is not this step's, and not averaged
    batch = part(rank, lacking)
    if isinstance(network, ColumnNetworks):
        losses = network.step(batch)
    elif isinstance(network, MixtureNetworks):
        losses = network.accumulate_gradients(batch, network.assignment[None])
    elif isinstance(network, TaskNetworks):
        assignments = make_assignments("random", 3, 2, TASKS, 3) % 2
        assignments[:, :, 1] = 2
        losses = network.accumulate_gradients(batch, assignments)
    else:
        losses = network.accumulate_gradients(batch)
    return {
        "losses": losses,
        "gradients": {n: p.grad for n, p in network.named_parameters() if p.grad is not None},
        "buffers": dict(network.named_buffers()),
        "present": batch.label_weights(),
    }


def network_and_assignments() -> tuple[TaskNetworks, Tensor]:
    """The weights of task 1 are its own, the others share some."""
    network = make("shared")
    assert isinstance(network, TaskNetworks)
    assignments = make_assignments("random", 3, 2, TASKS, 3) % 2
    assignments[:, :, 1] = 2
    return network, assignments


def weighted(method: str, rank: int, lacking: bool) -> dict[str, Any]:
    """One step by a method of TorchJD's."""
    network, assignments = network_and_assignments()
    torch.manual_seed(rank)  # random methods have to agree all the same
    weighting = GradientWeighting(method, {}, TASKS)
    losses = accumulate_weighted(network, weighting, part(rank, lacking), assignments)
    named = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    return {"losses": losses, "gradients": named}


def _worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    done = {f"{c}/{lacking}": outcome(c, rank, lacking) for c in CASES for lacking in (False, True)}
    if METHODS:
        done |= {f"{m}/{x}": weighted(m, rank, x) for m in METHODS for x in (False, True)}
    torch.save(done, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    spawn(_worker, (29517 + os.getpid() % 2000, str(folder)), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def mean_where(values: list[Tensor], has: list[Tensor]) -> Tensor:
    """Mean over the processes that have something; 0 where none has."""
    total = sum(value * there for value, there in zip(values, has, strict=True))
    assert isinstance(total, Tensor)
    counts = torch.stack(has).sum(0)
    return total / counts.clamp(min=1)


def averaged(name: str, alone: list[dict[str, Any]], before: Tensor, cumulative: bool) -> Tensor:
    """What a running average of both processes should be."""
    values = [found["buffers"][name] for found in alone]
    visits = [found["buffers"][f"{name.rpartition('.')[0]}.num_batches_tracked"] for found in alone]
    weights = [n.double() if cumulative else (n > 0).double() for n in visits]
    weights = [w[..., None].expand_as(before) for w in weights]
    return torch.where(sum(weights) > 0, mean_where(values, weights), before)


@pytest.mark.long
@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_processes_average_what_some_of_them_have(
    together: list[dict[str, Any]], case: str, lacking: bool
) -> None:
    found = [done[f"{case}/{lacking}"] for done in together]
    alone = [outcome(case, rank, lacking) for rank in range(WORLD)]
    network = make(case)
    first = next(name for name, _ in network.named_parameters())
    before = dict(network.named_buffers())
    losses = mean_where([a["losses"] for a in alone], [a["present"] for a in alone])
    for done in found:
        torch.testing.assert_close(done["losses"], losses)
        assert set(done["gradients"]) == set().union(*(set(a["gradients"]) for a in alone))
        for name, gradient in done["gradients"].items():
            own = [
                a["gradients"][name] - int(name == first) for a in alone if name in a["gradients"]
            ]
            torch.testing.assert_close(gradient, sum(own) / len(own) + int(name == first))
    for name, buffer in found[0]["buffers"].items():
        if isinstance(network, SeparateNetworks):
            break  # plain batch norms keep what their own process saw
        torch.testing.assert_close(buffer, found[1]["buffers"][name], msg=name)
        if "running" in name:
            expected = averaged(name, alone, before[name], case == "cumulative")
            torch.testing.assert_close(buffer, expected, msg=name)
        elif "tracked" in name:
            most = torch.stack([a["buffers"][name] for a in alone]).amax(0)
            assert torch.equal(buffer, most)


def averaged_by_task(lacking: bool) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Gradients of every task by name and losses, averaged by hand over those that have them."""
    each, losses, present = [], [], []
    for rank in range(WORLD):
        network, assignments = network_and_assignments()
        names = {parameter: name for name, parameter in network.named_parameters()}
        batch = part(rank, lacking)
        own, loss = task_gradients(network, batch, assignments)
        each.append([{names[p]: g for p, g in task.items()} for task in own])
        losses.append(loss)
        present.append(batch.label_weights())
    means = []
    for task in range(TASKS):
        held = [own[task] for own in each]
        keys = {name for own in held for name in own}
        means.append({k: torch.stack([o[k] for o in held if k in o]).mean(0) for k in keys})
    return means, mean_where(losses, present)


@pytest.mark.long
@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_of_tasks_are_averaged_before_they_are_aggregated(
    together: list[dict[str, Any]], method: str, lacking: bool
) -> None:
    found = [done[f"{method}/{lacking}"] for done in together]
    for name, gradient in found[0]["gradients"].items():
        assert torch.equal(gradient, found[1]["gradients"][name]), name
    means, losses = averaged_by_task(lacking)
    torch.testing.assert_close(found[0]["losses"], losses)
    if method == "pcgrad":  # draws an order, the same one in both
        return
    network, _ = network_and_assignments()
    parameters = dict(network.named_parameters())
    ordered = [{p: own[n] for n, p in parameters.items() if n in own} for own in means]
    wanted = GradientWeighting(method, {}, TASKS).combine(ordered, losses.mean(0))
    names = {parameter: name for name, parameter in parameters.items()}
    assert {names[p] for p in wanted} == set(found[0]["gradients"])
    for parameter, gradient in wanted.items():
        torch.testing.assert_close(found[0]["gradients"][names[parameter]], gradient)
