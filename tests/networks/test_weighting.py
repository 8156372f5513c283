"""Gradients of tasks, one by one and made into one, against plain loops and TorchJD itself."""

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from support.mixed import mixed_config, mixed_plugins
from support.tiny import Routed, TinyPlugins, content, start
from torch import Tensor

from mtl_framework.testing import Oracle

pytest.importorskip("torchjd", reason="TorchJD is an extra")

from torchjd.aggregation import MGDA, AlignedMTL, NashMTL, PCGrad, UPGrad
from torchjd.scalarization import GeometricMean

from mtl_framework import MtlError, Step, TaskNetworks
from mtl_framework.data import Batch
from mtl_framework.networks.separate import SeparateNetworks
from mtl_framework.networks.task_gradients import accumulate_weighted, task_gradients
from mtl_framework.networks.weighting import AGGREGATORS, GradientWeighting
from mtl_framework.runs.run import Run


def setting(weights: int, assignment: list[list[list[int]]]) -> tuple[TaskNetworks, Batch, Tensor]:
    torch.manual_seed(3)
    run = start(Path(tempfile.mkdtemp()), TinyPlugins(), strategy="routed")
    backbone, suite = run.backbone, run.suite
    network = TaskNetworks(backbone, suite.tasks, weights).double().train()
    generator = torch.Generator().manual_seed(1)
    inputs = tuple(torch.randn(6, 1, 4, 4, generator=generator).double() for _ in suite.tasks)
    targets = (torch.arange(6) % 3, torch.arange(6) % 2)
    return network, Batch(inputs, targets), torch.tensor(assignment)


PART = [[[0, 0], [0, 1]], [[0, 1], [1, 1]]]
SHARED = [[[0, 0], [0, 0]]]
APART = [[[0, 1], [0, 1]]]


@pytest.mark.parametrize("assignment", [PART, SHARED, APART])
def test_gradients_of_each_task_are_the_oracles(assignment: Any) -> None:
    network, batch, assignments = setting(2, assignment)
    samples = len(assignments)
    oracle = Oracle(network)
    wanted = []
    for task in range(2):
        weights = torch.zeros(samples, 2, dtype=torch.float64)
        weights[:, task] = 1 / samples
        wanted.append(Oracle(network).step(batch, assignments, weights).gradients)
    losses = oracle.step(batch, assignments).losses
    gradients, found = task_gradients(network, batch, assignments)
    torch.testing.assert_close(found, losses, rtol=0, atol=1e-10)
    for name, parameter in network.named_parameters():
        for task in range(2):
            own = gradients[task].get(parameter)
            theirs = wanted[task].get(name)
            if own is None:
                assert theirs is None or not theirs.any(), name
            else:
                assert theirs is not None
                torch.testing.assert_close(own, theirs, rtol=0, atol=1e-10)


def test_a_weight_sees_exactly_the_tasks_that_use_it() -> None:
    network, batch, assignments = setting(2, [[[0, 0], [0, 1]]])
    gradients, _ = task_gradients(network, batch, assignments)
    for unit, weight, users in ((0, 0, {0, 1}), (0, 1, set()), (1, 0, {0}), (1, 1, {1})):
        for parameter in network.bank_parameters(unit, weight):
            assert {task for task in range(2) if parameter in gradients[task]} == users


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_with_nothing_shared_every_aggregator_is_the_plain_gradient(name: str) -> None:
    network, batch, assignments = setting(2, APART)
    options = {"cagrad": {"c": 0.4}, "fairgrad": {"alpha": 1.0}}.get(name, {})
    gradients, losses = task_gradients(network, batch, assignments)
    alone = {p: g for own in gradients for p, g in own.items()}
    try:
        combined = GradientWeighting(name, options, 2).combine(gradients, losses.mean(0))
    except MtlError as error:  # some solvers are further extras of TorchJD's
        pytest.skip(str(error))
    shared = set(network.shared_parameters())
    assert shared
    for parameter, gradient in combined.items():
        if parameter not in shared:
            assert torch.equal(gradient, alone[parameter])


@pytest.mark.parametrize(
    ("name", "made"),
    [("upgrad", UPGrad), ("mgda", MGDA), ("pcgrad", PCGrad), ("aligned_mtl", AlignedMTL)],
)
def test_with_everything_shared_it_is_torchjd_on_the_plain_model(
    name: str, made: Callable[[], Any]
) -> None:
    network, batch, assignments = setting(1, SHARED)
    shared = [p for p in network.parameters()
              if not any(p in set(network.head_parameters(t)) for t in range(2))]  # fmt: skip
    losses = network.losses(batch, assignments)[0]
    rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses]
    jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    torch.manual_seed(7)
    wanted = made()(jacobian)
    torch.manual_seed(7)
    accumulate_weighted(network, GradientWeighting(name, {}, 2), batch, assignments)
    found = torch.cat([p.grad.flatten() for p in shared if p.grad is not None])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_scalarizers_are_the_gradient_of_their_loss() -> None:
    network, batch, assignments = setting(1, SHARED)
    loss = GeometricMean()(network.losses(batch, assignments)[0])
    parameters = list(network.parameters())
    wanted = torch.autograd.grad(loss, parameters)
    accumulate_weighted(network, GradientWeighting("geometric_mean", {}, 2), batch, assignments)
    for parameter, gradient in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-10)


def test_uncertainty_learns_its_own_weights_and_leaves_missing_tasks_alone() -> None:
    made = GradientWeighting("uncertainty", {"learning_rate": 0.1}, 2)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    losses = torch.tensor([2.0, 5.0])
    both = [{weights[0]: torch.ones(1)}, {weights[1]: torch.ones(1)}]
    first = made.combine(both, losses)
    assert [float(first[w]) for w in weights] == pytest.approx([0.5, 0.5])  # exp(-0) / 2
    second = made.combine(both, losses)
    # Adam moves log variances by the rate: both losses are above 1, so that both rise
    assert [float(second[w]) for w in weights] == pytest.approx([0.5 * math.exp(-0.1)] * 2)
    own = made.state_dict()["own"][0].clone()
    made.combine([both[0], {}], torch.tensor([2.0, 0.0]))
    after = made.state_dict()
    assert float(after["own"][0][0]) > float(own[0])
    assert after["last"].tolist() == [2.0, 5.0]  # the missing loss is not taken for 0


@pytest.mark.filterwarnings("ignore:You are solving")
def test_nash_bargains_for_every_set_of_tasks_by_itself() -> None:
    pytest.importorskip("cvxpy")
    generator = torch.Generator().manual_seed(2)
    first = torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.zeros(5))
    users = (0, 1, 2), (0, 2)  # tasks of each weight
    made = GradientWeighting("nash_mtl", {"max_norm": 0.0}, 3)
    separate = [NashMTL(3, max_norm=0.0), NashMTL(2, max_norm=0.0)]
    for _ in range(3):
        rows = [torch.randn(len(tasks), p.numel(), generator=generator)
                for tasks, p in zip(users, first, strict=True)]  # fmt: skip
        gradients: list[dict[torch.nn.Parameter, Tensor]] = [{}, {}, {}]
        for parameter, tasks, own in zip(first, users, rows, strict=True):
            for task, row in zip(tasks, own, strict=True):
                gradients[task][parameter] = row
        combined = made.combine(gradients, torch.ones(3))
        for parameter, own, method in zip(first, rows, separate, strict=True):
            torch.testing.assert_close(combined[parameter], method(own), rtol=0, atol=0)
    assert set(made.state_dict()) == {"0 1 2", "0 2"}
    with pytest.raises(MtlError, match="another training"):
        made.load_state_dict({"last": torch.ones(3), "steps": 2})


def test_nash_without_its_solver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ecos", None)
    with pytest.raises(MtlError, match=r"nash_mtl needs more: pip install 'mtl-framework\[torchjd"):
        GradientWeighting("nash_mtl", {}, 2)


def test_dynamic_weight_average_by_hand() -> None:
    made = GradientWeighting("dynamic_weight_average", {"epoch": 2, "temperature": 1.0}, 2)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    both = [{weights[0]: torch.ones(1)}, {weights[1]: torch.ones(1)}]
    found = [
        made.combine(both, torch.tensor(losses))
        for losses in ([4.0, 4], [4.0, 4], [2.0, 4], [2.0, 4], [1.0, 1])
    ]
    assert [float(found[3][w]) for w in weights] == [1, 1]  # two epochs have to be over
    rates = torch.tensor([0.5, 1.0]).exp()  # mean losses 2 after 4, and 4 after 4
    wanted = (2 * rates / rates.sum()).tolist()
    assert [float(found[4][w]) for w in weights] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "weighting",
    [{"name": "uncertainty", "learning_rate": 0.1}, {"name": "imtl_l", "learning_rate": 0.1},
     {"name": "dynamic_weight_average", "epoch": 2}, "geometric_mean", "pcgrad",
     {"name": "nash_mtl", "update_weights_every": 3}],
    ids=str,
)  # fmt: skip
def test_its_state_is_saved_and_resumed(tmp_path: Path, weighting: Any) -> None:
    options: dict[str, Any] = {"strategy": "routed", "training": {"weighting": weighting}}
    start(tmp_path / "whole", **options, iterations=8).execute()
    start(tmp_path / "parts", **options, iterations=4).execute()
    start(tmp_path / "parts", **options, iterations=8, resume=True).execute()
    files = [content(tmp_path / name) for name in ("whole", "parts")]
    for name in ("result.json", "metrics.jsonl", "checkpoint/last-00000008.safetensors"):
        assert files[0][name] == files[1][name], name


def separate(weighting: GradientWeighting | None) -> tuple[SeparateNetworks, Batch]:
    network, batch, _ = setting(1, SHARED)
    torch.manual_seed(5)
    alone = SeparateNetworks([network.backbone] * 2, network.tasks).double().train()
    alone.weighting = weighting
    return alone, batch


def test_with_a_network_a_task_aggregators_are_the_plain_gradient() -> None:
    plain, batch = separate(None)
    losses = plain.accumulate_gradients(batch, torch.ones(2, dtype=torch.float64))
    for name in ("upgrad", "pcgrad"):
        chosen, _ = separate(GradientWeighting(name, {}, 2))
        assert torch.equal(chosen.accumulate_gradients(batch), losses)
        for own, other in zip(plain.parameters(), chosen.parameters(), strict=True):
            assert torch.equal(none_is_zero(own), none_is_zero(other))


def test_with_a_network_a_task_scalarizers_weigh_losses_and_missing_tasks_are_left_out() -> None:
    network, batch = separate(None)
    loss = GeometricMean()(network.losses(batch))
    wanted = torch.autograd.grad(loss, list(network.parameters()))
    chosen, _ = separate(GradientWeighting("geometric_mean", {}, 2))
    chosen.accumulate_gradients(batch)
    for parameter, gradient in zip(chosen.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-10)
    chosen.zero_grad()
    halved = torch.tensor([0.25, 0.0], dtype=torch.float64)
    chosen.weighting = GradientWeighting("sum", {}, 2)
    chosen.accumulate_gradients(batch, halved)
    network.accumulate_gradients(batch, 2 * halved)
    for own, other in zip(network.parameters(), chosen.parameters(), strict=True):
        torch.testing.assert_close(none_is_zero(own), none_is_zero(other), rtol=0, atol=1e-12)


def none_is_zero(parameter: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def test_a_run_with_a_network_a_task_says_what_an_aggregator_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = mixed_plugins()
    for name in ("upgrad", "uncertainty"):
        config = mixed_config(training={"weighting": name}, iterations=2)
        Run.start(config, plugins, tmp_path / name, console=Console(width=400)).execute()
        said = "every weight of 'no_sharing' belongs to one task" in capsys.readouterr().out
        assert said == (name == "upgrad")


def test_without_an_effect_the_first_step_says_so(tmp_path: Path) -> None:
    class ByLosses(Routed):
        def optimize(self, run: Any) -> Any:
            while True:
                self.network.train()
                self.optimizer.zero_grad()
                assignments = self.network.assignment[None].cpu()
                losses = self.network.losses(run.next_batch(), assignments)
                losses.mean().backward()
                self.optimizer.step()
                yield Step(losses.detach())

    with pytest.raises(MtlError, match=r"training.weighting=upgrad had no effect.*'by_losses'"):
        start(tmp_path, TinyPlugins(by_losses=ByLosses), strategy="by_losses",
              training={"weighting": "upgrad"}).execute()  # fmt: skip


def test_a_run_uses_it_and_names_what_is_wrong(tmp_path: Path) -> None:
    for name, training in (("plain", {}), ("upgrad", {"weighting": "upgrad"})):
        strategy = {"name": "learned", "nes_samples": 2, "weight_samples": 2}
        start(tmp_path / name, strategy=strategy, training=training).execute()
    assert (
        content(tmp_path / "plain")["metrics.jsonl"]
        != content(tmp_path / "upgrad")["metrics.jsonl"]
    )
    with pytest.raises(MtlError, match=r"weighting in training 'upgrade'.*upgrad"):
        start(tmp_path / "a", strategy="routed", training={"weighting": "upgrade"})
    with pytest.raises(MtlError, match=r"option of training.weighting 'cagrad' 'd'"):
        start(tmp_path / "b", strategy="routed", training={"weighting": {"name": "cagrad", "d": 1}})
    with pytest.raises(MtlError, match="weighting needs networks over weight banks, or one"):
        start(tmp_path / "c", strategy="soft", training={"weighting": "upgrad"})
