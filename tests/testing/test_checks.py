"""Every strategy of this repository keeps what is promised to authors, and broken ones are told."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_framework import Backbone, Step, Strategy, TaskNetworks, TrainingRun
from mtl_framework.cli import main
from mtl_framework.data import Suite
from mtl_framework.plugins.manager import Plugins
from mtl_framework.testing import (
    CHECKS,
    CheckError,
    Trial,
    check_contract,
    check_devices,
    check_extraction,
    check_missing_labels,
    check_resuming,
    check_same_seed,
    check_state,
    checks,
)

BLOCKS = {"block_out": 4, "block_in": 4, "steps_per_generation": 2, "indivisible": "ordinary"}
TRIALS = {
    "adapters": Trial("adapters", {"assignment": "learned", "kind": "series"}),
    "cross_stitch": Trial("cross_stitch", {"after": "block"}),
    "nddr": Trial("nddr", {"after": "block"}),
    "sluice": Trial("sluice", {"after": "block"}),
    "fafs": Trial("fafs", {"stall": 1, "alpha": 3}),
    "fixed_sharing": Trial("fixed_sharing", {"shared_first": 1}),
    "full_sharing": Trial("full_sharing"),
    "lws": Trial("lws", {"weight_samples": 2, "nes_samples": 2}),
    "muir": Trial("muir", BLOCKS),
    "no_sharing": Trial("no_sharing"),
    "recon": Trial("recon", {"measure": 0.5}),
    "roaming": Trial("roaming"),
    "routing_networks": Trial("routing_networks", {"paths": 2, "router_learning_rate": 0.3}),
    "soft_ordering": Trial("soft_ordering"),
    "task_grouping": Trial("task_grouping", {"measure": 0.5, "every": 1}),
    "pta": Trial("pta", {"variant": "IFPDHG", "decoders": 2, "meta_iteration": 2}),
}
#: Strategies of kinds that differ; the others are tried by `make test-long`.
KINDS = ("adapters", "cross_stitch", "fafs", "lws", "muir", "no_sharing", "pta")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in KINDS else [pytest.mark.long]) for n in TRIALS]
)
def test_our_strategies_keep_every_promise(
    name: str, check: Callable[[Trial, Path], None], tmp_path: Path
) -> None:
    check(TRIALS[name], tmp_path)


def test_no_strategy_of_ours_is_left_out() -> None:
    assert sorted(TRIALS) == Plugins.load().names("strategy")


class Shared(Strategy):
    """Full sharing by plain Adam, from which broken strategies differ in one thing."""

    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        self.network = TaskNetworks(backbone, suite.tasks, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 0.01)
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment.cpu()[None]
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.step(losses)
            yield Step(losses)

    def step(self, losses: Tensor) -> None:
        self.optimizer.step()


class Idle(Shared):
    def step(self, losses: Tensor) -> None:
        pass


class Counting(Shared):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.steps, self.history = 0, [torch.zeros(3)]

    def step(self, losses: Tensor) -> None:
        self.steps += 1
        self.history.append(losses[0])
        self.optimizer.param_groups[0]["lr"] = 0.01 / self.steps
        super().step(losses)


class Forgetful(Counting):
    def step(self, losses: Tensor) -> None:
        super().step(losses)
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.mul_(1 - 0.01 * self.steps)


class Unseeded(Shared):
    def step(self, losses: Tensor) -> None:
        noise = torch.Generator()
        noise.seed()
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=noise))


class Doubled(TaskNetworks):
    def extract(self, task: int) -> nn.Module:
        return nn.Sequential(super().extract(task), nn.Softmax(-1))


class Misextracted(Shared):
    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        self.network = Doubled(backbone, suite.tasks, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 0.01)
        return self.network


class Unmasked(Shared):
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        while True:
            self.optimizer.zero_grad()
            batch = run.next_batch()
            outputs = self.network.train().predict(0, batch.inputs[0])
            loss = torch.nn.functional.cross_entropy(outputs, batch.targets[0])
            loss.backward()
            self.optimizer.step()
            yield Step(loss.detach())


BROKEN: list[tuple[type[Strategy], Callable[[Trial, Path], None], str]] = [
    (Idle, check_contract, "Idle: no parameter has changed in 6 steps"),
    (Counting, check_state, r"training changes self\.steps, self\.history, which a resumed run"),
    (Forgetful, check_resuming, "Forgetful: a run resumed at iteration 2 differs in "),
    (Unseeded, check_same_seed, "Unseeded: a second run with the same seed differs in "),
    (Misextracted, check_extraction, r"extract\('rows'\) and predict differ by up to "),
    (Unmasked, check_missing_labels, "targets of examples without a label change checkpoint/"),
]


@pytest.mark.parametrize(("strategy", "check", "message"), BROKEN)
def test_what_is_broken_is_told(
    strategy: type[Strategy], check: Callable[[Trial, Path], None], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckError, match=message):
        check(Trial(strategy), tmp_path)


@pytest.fixture
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", (check_contract, check_devices))


@pytest.mark.usefixtures("two_checks")
def test_the_command_prints_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["check-strategy", "full_sharing"])
    shown = capsys.readouterr().out
    assert end.value.code == 0, shown
    first, *rest = shown.splitlines()
    assert (
        first == "ok      The networks learn, and after every step predict the same again, in "
        "the promised shape."
    )
    assert rest[0].startswith(("ok      A run works on", "skipped A run works on"))


@pytest.mark.usefixtures("two_checks")
@pytest.mark.parametrize(
    ("name", "options"), [("fixed_sharing", "shared_first=half"), ("muir", "block_out=4")]
)
def test_a_strategy_brings_what_it_needs_to_be_tried(
    name: str, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["check-strategy", name])
    first, *rest = capsys.readouterr().out.splitlines()
    assert end.value.code == 0, rest
    assert first.startswith(f"with {options}")
    assert first.endswith("(--set gives others)")


@pytest.mark.usefixtures("two_checks")
def test_the_command_says_what_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl_baselines.ends import FullSharing

    monkeypatch.setattr(FullSharing, "optimize", Idle.optimize)
    monkeypatch.setattr(FullSharing, "step", Idle.step, raising=False)
    with pytest.raises(SystemExit) as end:
        main(["check-strategy", "full_sharing"])
    shown = capsys.readouterr().out
    assert end.value.code == 1
    assert "FAILED  The networks learn" in shown
    assert "no parameter has changed" in shown
    assert "1 of 2 checks failed" in shown
    for arguments, message in (
        (["check-strategy", "fullsharing"], "unknown strategy 'fullsharing'"),
        (["check-strategy", "lws", "--set", "weight_sample=2"], "weight_samples"),
        (
            ["check-strategy", "fixed_sharing", "--set", "learning_rate=0.1"],
            "give options as in `mtl check-strategy fixed_sharing --set shared_first=half`",
        ),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        captured = capsys.readouterr()
        assert message in captured.err + captured.out
