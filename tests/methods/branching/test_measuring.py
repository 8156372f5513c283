"""Affinities and conflicts against plain loops; measuring changes nothing; then all begins anew."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_branching.affinity import affinities
from mtl_branching.figures import measured_figures
from mtl_branching.grouping import TaskGrouping, TaskGroupingConfig
from mtl_branching.measured import MeasuredSharing
from mtl_branching.recon import Recon, ReconConfig, flat_gradients
from support.adapter_loops import MODELS
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch, make_tasks
from torch import Tensor

from mtl_framework import RunRecord, TaskNetworks, task_gradients
from mtl_framework.data import Batch, Suite
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.support.errors import MtlError
from mtl_framework.testing import Oracle, Trial, check_resuming

CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}


def built(name: str, mode: str = "shared", **options: Any) -> TaskGrouping:
    """Three tasks on a small timm model, in float64."""
    torch.manual_seed(1)
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    strategy = TaskGrouping(TaskGroupingConfig(**options))
    strategy.build(make_backbone(name, normalization=mode, **MODELS[name]), suite).double()
    return strategy


def one_step(strategy: MeasuredSharing, batch: Batch) -> None:
    """A step of the weights, after which the optimiser has momentum."""
    strategy.network.train()
    strategy.optimizer.zero_grad()
    strategy.network.accumulate_gradients(batch, strategy.network.assignment[None])
    strategy.optimizer.step()


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("resnet18", "task", {"optimizer": "sgd", "learning_rate": 0.1}),
        ("convnext_atto", "shared", {"virtual_rate": 0.2}),
    ],
)
def test_affinities_agree_with_the_loops(name: str, mode: str, options: dict[str, Any]) -> None:
    strategy = built(name, mode, **options)
    network = strategy.network
    batch = make_batch(network.tasks)
    one_step(strategy, make_batch(network.tasks, seed=1))
    measured = affinities(network, batch, strategy.optimizer, options.get("virtual_rate"))
    assignments, rate = network.assignment[None], options.get("virtual_rate", 0.1)
    before = Oracle(network).step(batch, assignments).losses[0]
    by_name = dict(network.named_parameters())
    for task in range(3):
        only = torch.zeros(1, 3, dtype=torch.float64)
        only[0, task] = 1
        gradients = Oracle(network).step(batch, assignments, only).gradients
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for key, gradient in gradients.items():
                if key.startswith("heads."):
                    continue
                buffer = strategy.optimizer.state.get(by_name[key], {}).get("momentum_buffer")
                step = gradient if buffer is None else gradient + 0.9 * buffer
                moved.get_parameter(key).sub_(rate * step)
        after = Oracle(moved).step(batch, assignments).losses[0]
        torch.testing.assert_close(measured[task], (1 - after / before) / rate, **CLOSE)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_conflicts_agree_with_the_loops(name: str) -> None:
    torch.manual_seed(1)
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    strategy = Recon(ReconConfig(threshold=0.05))
    network = strategy.build(make_backbone(name, normalization="shared", **MODELS[name]), suite)
    network.double()
    wanted = torch.zeros(len(network.weights_per_unit))
    for seed in range(2):
        batch = make_batch(network.tasks, seed=seed)
        strategy.measure(batch)
        by_task = []
        for task in range(3):
            only = torch.zeros(1, 3, dtype=torch.float64)
            only[0, task] = 1
            by_task.append(Oracle(network).step(batch, network.assignment[None], only).gradients)
        for unit in range(len(wanted)):
            names = [
                n
                for n, p in network.named_parameters()
                if any(p is own for own in network.bank_parameters(unit, 0))
            ]
            rows = [torch.cat([own[n].flatten() for n in names]) for own in by_task]
            for one in range(3):
                for other in range(one):
                    cosine = torch.cosine_similarity(rows[one], rows[other], dim=0)
                    wanted[unit] += float(cosine < 0.05)
    assert strategy.conflicts.tolist() == wanted.tolist()
    assert wanted.sum() > 0
    assert strategy.pairs.tolist() == [6] * len(wanted)


@pytest.mark.parametrize("kind", [TaskGrouping, Recon])
def test_measuring_changes_nothing_of_the_run(
    kind: type[MeasuredSharing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, averages and random numbers of the first phase are those without measurements."""
    states: list[list[Tensor]] = []

    def look(run: Any) -> None:
        if run.iteration == 4:
            state = [value.clone() for value in run.network.state_dict().values()]
            states.append([*state, torch.get_rng_state()])

    Trial(kind, {"measure": 0.7, "every": 1}).start(tmp_path / "one", look).execute()
    monkeypatch.setattr(kind, "measure", lambda self, batch: None)
    Trial(kind, {"measure": 0.7, "every": 1}).start(tmp_path / "other", look).execute()
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


@pytest.mark.parametrize("kind", [TaskGrouping, Recon])
def test_the_decided_sharing_is_trained_from_scratch(
    kind: type[MeasuredSharing], tmp_path: Path
) -> None:
    trial = Trial(kind, {"measure": 0.5, "every": 1, "optimizer": "sgd"})
    run = trial.start(tmp_path / "run")
    strategy = run.strategy
    assert isinstance(strategy, MeasuredSharing)
    network = strategy.network
    one_step(strategy, run.next_batch())
    strategy.measure(run.next_batch())
    assert strategy.optimizer.state
    strategy._part()
    assert not strategy.optimizer.state
    assert strategy.decided
    groups = strategy.decide()
    for one in range(3):
        for other in range(3):
            same = groups[:, one] == groups[:, other]
            assert torch.equal(network.assignment[:, one] == network.assignment[:, other], same)
    with torch.random.fork_rng():
        torch.manual_seed(strategy.seed)
        fresh = TaskNetworks(run.backbone, run.suite.tasks, strategy.network.weights_per_unit)
    for name, value in fresh.state_dict().items():
        assert name == "assignment" or torch.equal(network.state_dict()[name], value)
    counts = strategy.network.parameter_counts()
    assert counts.trained == counts.deployed <= sum(p.numel() for p in network.parameters())
    assert strategy.length_options() == ["strategy.measure"]


@pytest.mark.parametrize("moments", ["new", "copy"])
@pytest.mark.parametrize("kind", [TaskGrouping, Recon])
def test_or_it_goes_on_with_copies(
    kind: type[MeasuredSharing], moments: str, tmp_path: Path
) -> None:
    options = {"measure": 0.5, "every": 1, "restart": False, "moments": moments}
    run = Trial(kind, options).start(tmp_path / "run")
    strategy = run.strategy
    assert isinstance(strategy, MeasuredSharing)
    network = strategy.network
    one_step(strategy, run.next_batch())
    strategy.measure(run.next_batch())
    batch = run.next_batch()
    network.eval()
    before = [network.predict(task, batch.inputs[task]) for task in range(3)]
    strategy._part()
    assert strategy.decided
    assert network.assignment.amax() > 0
    for task in range(3):
        assert torch.equal(network.predict(task, batch.inputs[task]), before[task])
    for unit, used in enumerate(network.assignment.amax(1).tolist()):
        for weight in range(used + 1):
            pairs = zip(*(network.bank_parameters(unit, w) for w in (0, weight)), strict=True)
            for old, new in pairs:
                if used and moments == "new":
                    assert old not in strategy.optimizer.state
                    assert new not in strategy.optimizer.state
                else:
                    kept = (strategy.optimizer.state[p]["exp_avg"] for p in (old, new))
                    assert torch.equal(*kept)
    one_step(strategy, batch)
    network.eval()
    assert not torch.equal(network.predict(0, batch.inputs[0]), before[0])


@pytest.mark.parametrize("measure", [0.2, 0.34, 0.5])  # before, at and behind the stop
@pytest.mark.parametrize("kind", [TaskGrouping, Recon])
def test_a_stopped_run_goes_on_with_copies_as_if_it_had_not_been(
    kind: type[MeasuredSharing], measure: float, tmp_path: Path
) -> None:
    check_resuming(Trial(kind, {"measure": measure, "every": 1, "restart": False}), tmp_path)


def opposite(strategy: MeasuredSharing) -> Batch:
    """One input for all; tasks 0 and 1 ask for the larger scores, task 2 for the smaller ones.

    Heads are equal, so that they cannot turn a label round.
    """
    inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    head = strategy.network.heads[0]
    with torch.no_grad():
        scores = strategy.network.predict(0, inputs)
        head.get_parameter("bias").sub_(scores.median())
    for other in strategy.network.heads:
        other.load_state_dict(head.state_dict())
    side = (scores > scores.median()).long().flatten()
    return Batch((inputs,) * 3, (side, side, 1 - side), True)


def test_tasks_that_are_the_same_help_each_other_and_opposite_ones_do_not() -> None:
    torch.manual_seed(0)
    strategy = TaskGrouping(TaskGroupingConfig(optimizer="sgd", learning_rate=0.1))
    strategy.build(dense_backbone(), binary_suite(3))
    strategy.measure(opposite(strategy))
    mean = torch.from_numpy(strategy.affinity())
    torch.testing.assert_close(mean[0, 1], mean[0, 0])
    assert (mean.diagonal() > 0).all()
    assert mean[0, 2] < 0
    assert mean[2, 1] < 0
    groups = strategy.decide()
    assert groups.tolist() == [[0, 0, 1]] * len(groups)


def test_conflicts_are_those_of_opposite_tasks_and_rank_their_unit() -> None:
    torch.manual_seed(0)
    strategy = Recon(ReconConfig(parted=1))
    network = strategy.build(dense_backbone(shared=()), binary_suite(3))
    strategy.measure(opposite(strategy))
    assert strategy.conflicts.tolist() == [2.0] * 3  # of three pairs, two are opposite
    same = opposite(strategy)
    strategy.start_measuring()
    strategy.measure(Batch(same.inputs, (same.targets[0],) * 3, True))
    assert strategy.conflicts.tolist() == [0.0] * 3
    strategy.conflicts = torch.tensor([1.0, 3.0, 3.0]).double()
    assert strategy.decide().tolist() == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]
    strategy.chance = torch.tensor([0.0, 3.0, 1.0]).double()
    strategy.config = ReconConfig(parted=1, rank_by="excess")
    assert strategy.decide().tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 2]]
    for parted, last in ((0, [0, 0, 0]), (3, [0, 1, 2])):
        ends = Recon(ReconConfig(parted=parted))
        ends.build(dense_backbone(shared=()), binary_suite(3))
        assert ends.decide().tolist() == [last] * len(network.weights_per_unit)


def test_tasks_without_labels_are_left_out() -> None:
    strategy = built("resnet18")
    full = make_batch(strategy.network.tasks)
    masks = (torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool))
    batch = Batch(full.inputs, full.targets, labelled=(masks[0], masks[1], masks[0]))
    strategy.measure(batch)
    assert strategy.count.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert strategy.affinity()[1].tolist() == [0, 0, 0]
    gradients, _ = task_gradients(strategy.network, batch, strategy.network.assignment[None])
    rows = flat_gradients(gradients, strategy.network.bank_parameters(0, 0))
    assert rows[1].abs().sum() == 0


@pytest.mark.parametrize("kind", ["task_grouping", "recon"])
def test_the_figure_shows_what_was_measured(kind: str, tmp_path: Path) -> None:
    run = Trial(kind, {"measure": 0.5, "every": 1}).start(tmp_path / "run")
    run.execute()
    result = Result.load(tmp_path / "run")
    record = RunRecord("measured", "trial", "trial", 0, tmp_path / "run", 6, "done", result)
    figure, *_ = measured_figures([record])
    if kind == "recon":
        strategy = run.strategy
        assert isinstance(strategy, Recon)
        percent = 100 * float(strategy.conflicts[0] / strategy.pairs[0])
        assert f"low: {percent:.1f} %, by chance" in figure.alt
    else:
        assert "3 by 3 tasks. Groups: " in figure.alt
        assert "Mean over 3 measurements" in figure.caption
    assert png(figure.figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("strategy", "tasks", "message"),
    [
        (TaskGrouping(TaskGroupingConfig(groups=4)), 3, "groups should be at most 3"),
        (TaskGrouping(), 1, "task_grouping needs at least two tasks, suite 'binary' has one"),
        (Recon(ReconConfig(parted=4)), 3, "a number from 0 to the 2 units, found 4"),
        (Recon(), 1, "recon needs at least two tasks"),
    ],
)
def test_what_does_not_fit_is_refused(strategy: MeasuredSharing, tasks: int, message: str) -> None:
    with pytest.raises(MtlError, match=message):
        strategy.build(dense_backbone(), binary_suite(tasks))


@pytest.mark.parametrize("seed", [0, 1])
def test_tasks_that_are_there_twice_are_grouped_while_heads_differ(seed: int) -> None:
    """Tasks 0 and 2 ask for a side of a plane, 1 and 3 for the distance from another one."""
    torch.manual_seed(seed)
    options = TaskGroupingConfig(optimizer="sgd", learning_rate=0.1)
    strategy = TaskGrouping(options)
    strategy.build(dense_backbone(width=16), binary_suite(4))
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 6, generator=generator)
    other = other - one * (one @ other) / (one @ one)
    for step in range(60):
        inputs = torch.randn(32, 6, generator=generator)
        side, far = (inputs @ one > 0).long(), ((inputs @ other).abs() > 0.7).long()
        batch = Batch((inputs,) * 4, (side, far, side, far), True)
        if step % 3 == 0:
            strategy.measure(batch)
        one_step(strategy, batch)
    assert strategy.decide()[0].tolist() == [0, 1, 0, 1]
