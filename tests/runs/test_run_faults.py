"""Strategies that break their contract, and losses that are not finite."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.losses_of_runs import losses_of
from support.tiny import Soft, SoftModel, TinyPlugins, start
from torch import Tensor

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.tasks import Suite
from mtl_framework.strategies.context import TrainingRun
from mtl_framework.strategies.step import Step
from mtl_framework.support.errors import MtlError

# -- strategies that break their contract ------------------------------------------------------


class NeverBegins(Soft):
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        yield from ()


class YieldsANumber(Soft):
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        yield 0.5  # type: ignore[misc]


class LossIsEmpty(Soft):
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        yield Step(torch.zeros(0))


class ForgetsToYield(Soft):
    def optimize(self, run: TrainingRun) -> Any:
        return None


class BuildsNothing(Soft):
    def build(self, backbone: Backbone, suite: Suite) -> SoftModel:
        return None  # type: ignore[return-value]


class HoldsASet(Soft):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seen": {1, 2}}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (NeverBegins, "strategy 'odd' ended before its first iteration"),
        (YieldsANumber, "strategy 'odd' yielded 0.5; optimize should yield Step"),
        (LossIsEmpty, r"strategy 'odd' yielded Step\(loss=tensor\(\[\]\)\)"),
        (ForgetsToYield, "strategy 'odd': optimize should be a generator"),
        (BuildsNothing, "strategy 'odd': build should return a MultiTaskModel, found NoneType"),
        (HoldsASet, "state /strategy/seen cannot be saved: found set"),
    ],
)
def test_a_strategy_that_breaks_its_contract_is_named(
    tmp_path: Path, strategy: type[Soft], message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        start(tmp_path / "r", TinyPlugins(odd=strategy), strategy="odd").execute()


def test_the_loop_is_closed_at_the_end(tmp_path: Path) -> None:
    closed = []

    class Cleans(Soft):
        def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
            try:
                yield from super().optimize(run)
            finally:
                closed.append(run.iteration)

    start(tmp_path / "r", TinyPlugins(cleans=Cleans), strategy="cleans").execute()
    assert closed == [6]


# -- divergence --------------------------------------------------------------------------------


def diverging(at: int, loss: Tensor) -> type[Soft]:
    class Diverges(Soft):
        def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
            for step in super().optimize(run):
                yield Step(loss) if run.iteration + 1 == at else step

    return Diverges


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (torch.tensor(NAN), "the loss is nan at iteration 5"),
        (torch.tensor([1.0, INF]), "the loss of task 'sides' is inf at iteration 5"),
        (torch.tensor([[1.0, 1.0], [NAN, 1.0]]), "the loss of task 'rows' is nan at iteration 5"),
        (torch.tensor([1.0, -INF, 1.0]), "the loss is -inf at iteration 5"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, loss: Tensor, message: str
) -> None:
    plugins = TinyPlugins(bad=diverging(5, loss))
    with pytest.raises(MtlError) as error:
        start(tmp_path / "r", plugins, strategy="bad").execute()
    assert message in str(error.value)
    assert f"the state of iteration 4 is kept in {tmp_path / 'r'}" in str(error.value)
    names = {path.stem for path in (tmp_path / "r" / "checkpoint").glob("last*")}
    assert names == {"last-00000004"}
    assert len(losses_of(tmp_path / "r")) == 4
    assert not (tmp_path / "r" / "result.json").exists()


def test_parameters_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    class Breaks(Soft):
        def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
            for step in super().optimize(run):
                if run.iteration + 1 == 4:
                    with torch.no_grad():
                        self.network.mixing[1, 0] = NAN
                yield step

    plugins = TinyPlugins(breaks=Breaks)
    with pytest.raises(MtlError, match=r"parameter mixing is not finite at iteration 4; .* 2 is"):
        start(tmp_path / "r", plugins, strategy="breaks").execute()
    assert [n for n, _ in plugins.told].count("mtl_evaluated") == 1


@pytest.mark.parametrize(
    ("mean", "reason"),
    [
        (INF, r"buffer columns\.0\.low\.1\.running_mean is not finite at iteration 2"),
        (-3e38, r"validation loss of task 'rows' is nan at iteration 2"),
    ],
)
def test_figures_that_are_not_finite_are_not_recorded(
    tmp_path: Path, mean: float, reason: str
) -> None:
    class Blind(Soft):
        def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
            for step in super().optimize(run):
                for column in self.network.columns:
                    column.get_buffer("low.1.running_var").zero_()
                    column.get_buffer("low.1.running_mean").fill_(mean)
                yield step

    plugins = TinyPlugins(blind=Blind)
    with pytest.raises(MtlError, match=reason):
        start(tmp_path / "r", plugins, strategy="blind").execute()
