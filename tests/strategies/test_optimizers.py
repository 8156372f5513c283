"""torch's own fused optimisers are right for every author, also after a resumption on the CPU."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.makers import make_backbone, make_batch, make_tasks
from support.tiny import Routed, TinyPlugins, content, start
from torch import Tensor, nn

from mtl_framework import FusedAdam
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs.run import Interrupted
from mtl_framework.strategies.optimizers import keep_formats
from mtl_framework.strategies.recipe import Recipe


class ConvNet(nn.Module):
    """Convolutions, whose weights lie in memory in one of two ways."""

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int]) -> None:
        super().__init__()
        self.low = nn.Sequential(nn.Conv2d(in_chans, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.high = nn.Sequential(nn.Conv2d(6, 5, 2), nn.ReLU(), nn.Flatten())
        self.fc = nn.Linear(45, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"low": ["low"], "high": ["high"]}

    def get_classifier(self) -> nn.Linear:
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.high(self.low(x)))
        return y


class Theirs(Routed):
    """A third party's strategy, which keeps an optimiser of torch's where it likes."""

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        network = super().build(backbone, suite)
        self.optimizer = torch.optim.Adam(network.parameters(), 0.01, fused=True)
        return network


class Convolutions:
    @hookimpl
    def mtl_backbones(self) -> dict[str, Callable[..., nn.Module]]:
        return {"convs": ConvNet}


class StopsAt(TinyPlugins):
    def __init__(self, at: int | None = None) -> None:
        super().__init__(theirs=Theirs)
        self.register(Convolutions(), "convolutions")
        self.at = at

    def notify(self, hook: str, **values: object) -> None:
        super().notify(hook, **values)
        if hook == "mtl_step" and getattr(values["run"], "iteration", None) == self.at:
            signal.raise_signal(signal.SIGINT)


def test_a_third_partys_fused_optimiser_resumes_bit_for_bit(tmp_path: Path) -> None:
    options = {"strategy": "theirs", "backbone": {"name": "convs", "shared": []}}
    start(tmp_path / "whole", StopsAt(), **options).execute()
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", StopsAt(3), **options).execute()
    run = start(tmp_path / "cut", StopsAt(), resume=True, **options)
    weight = next(p for p in run.network.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert not weight.is_contiguous()  # channels-last on the CPU, from the start
    run.execute()
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def order(tensor: Tensor) -> list[int]:
    """Strides of all dimensions that hold more than one value."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def test_weights_keep_their_memory_format() -> None:
    """It is set when networks are built and moved; a pass leaves it alone."""
    backbone = make_backbone("resnet18", args={"channels": (8, 8, 8, 8)})
    for group_major, last in ((None, True), (True, True), (False, False)):
        network = TaskNetworks(backbone, make_tasks(), 1, group_major=group_major)
        before = [order(p) for p in network.parameters()]
        weight = network.bank_parameters(0, 0)[0]
        assert weight.is_contiguous(memory_format=torch.channels_last) is last
        batch = make_batch(network.tasks, dtype=torch.float32)
        network.accumulate_gradients(batch, torch.zeros(1, 8, 3, dtype=torch.int64))
        for parameter, lying in zip(network.parameters(), before, strict=True):
            assert order(parameter) == lying
            assert parameter.grad is None or order(parameter.grad) == lying
        network.double().load_state_dict(network.state_dict())
        assert weight.is_contiguous(memory_format=torch.channels_last) is last


def test_moments_take_their_weights_format() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    plain = nn.Parameter(weight.detach().contiguous())
    ours, theirs = torch.optim.Adam([weight], fused=True), torch.optim.Adam([plain], foreach=False)
    keep_formats(SimpleNamespace(each={"weights": [ours]}))  # as the host does with a strategy
    for turn in range(2):
        for parameter, optimizer in ((weight, ours), (plain, theirs)):
            torch.manual_seed(turn)
            values = torch.randn(4, 3, 2, 2)
            parameter.grad = torch.empty_like(parameter).copy_(values)
            optimizer.step()
        state = ours.state_dict()
        for name in ("exp_avg", "exp_avg_sq"):
            state["state"][0][name] = state["state"][0][name].contiguous()  # as from a file
        ours.load_state_dict(state)
    torch.testing.assert_close(weight, plain)


def test_the_older_name_warns_and_is_torchs_own() -> None:
    parameter = nn.Parameter(torch.ones(2))
    with pytest.warns(DeprecationWarning, match=r"torch\.optim\.Adam\(\.\.\., fused=True\)"):
        optimizer = FusedAdam([parameter], 0.25)
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25]
    assert all(group["fused"] for group in optimizer.param_groups)


@pytest.mark.parametrize("theirs", [False, True])
def test_a_gradient_in_another_format_moves_its_own_weights(tmp_path: Path, theirs: bool) -> None:
    """A strategy may put gradients together itself; fused kernels read memory as it lies."""
    if theirs:
        plugins = TinyPlugins(theirs=Theirs)
        plugins.register(Convolutions(), "convolutions")
        run = start(tmp_path / "run", plugins, strategy="theirs", backbone={"name": "convs"})
        optimizer, network = vars(run.strategy)["optimizer"], run.network
    else:
        suite = make_tasks((2, 3))
        network = TaskNetworks(make_backbone("resnet18"), suite, 2)
        optimizer = Recipe().make_optimizer(network)
    weight = next(p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    before = weight.detach().clone()
    gradient = torch.where(torch.arange(weight.numel()) % 3 == 0, 1.0, -1.0).view(weight.shape)
    assert gradient.stride() != weight.stride()
    weight.grad = gradient
    optimizer.step()
    assert torch.equal((before - weight.detach()).sign(), gradient)
