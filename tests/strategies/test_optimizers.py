"""FusedAdam gives what torch.optim.Adam gives, whatever the memory formats do meanwhile."""

import copy
import io

import pytest
import torch
from torch import nn

from mtl_framework import FusedAdam


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 5)
    return nn.Sequential(*layers).double()


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    inputs = torch.randn(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    optimizer.zero_grad()
    torch.autograd.backward(model(inputs).square().mean())
    optimizer.step()


@pytest.mark.parametrize("amsgrad", [False, True])
def test_formats_may_change_between_steps_and_at_a_resumption(amsgrad: bool) -> None:
    fused, plain = network(), network()
    options = {"lr": 0.01, "weight_decay": 0.1, "amsgrad": amsgrad}
    ours = FusedAdam(fused.parameters(), **options)
    theirs = torch.optim.Adam(plain.parameters(), foreach=False, **options)
    formats = [torch.contiguous_format, torch.channels_last, torch.contiguous_format]
    for turn, memory_format in enumerate(formats):
        fused.to(memory_format=memory_format)
        for number in range(2):
            step(fused, ours, 10 * turn + number)
            step(plain, theirs, 10 * turn + number)
    # as a run goes on: a new network, not in its format yet, and moments from a file
    file = io.BytesIO()
    torch.save({"network": fused.state_dict(), "optimizer": ours.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    resumed = network()
    ours = FusedAdam(resumed.parameters(), **options)
    resumed.load_state_dict(state["network"])
    ours.load_state_dict(state["optimizer"])
    resumed.to(memory_format=torch.channels_last)
    for number in range(2):
        step(resumed, ours, 100 + number)
        step(plain, theirs, 100 + number)
    for found, wanted in zip(resumed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_the_plain_fused_kernel_is_wrong_there() -> None:
    """Why there is a class of our own: once this fails, torch can do it alone."""
    results = []
    for optimizer_class in (torch.optim.Adam, FusedAdam):
        model = network()
        optimizer = optimizer_class(model.parameters(), 0.01, fused=True)
        step(model, optimizer, 0)
        model.to(memory_format=torch.channels_last)
        step(model, optimizer, 1)
        results.append(copy.deepcopy(model[2].weight.detach()))
    assert not torch.allclose(*results)


def test_gradients_take_their_weights_format() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    plain = nn.Parameter(weight.detach().clone())
    ours, theirs = FusedAdam([weight]), torch.optim.Adam([plain], foreach=False)
    for _ in range(2):
        weight.grad = torch.randn(4, 3, 2, 2)
        plain.grad = weight.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(weight, plain)


def test_groups_keep_their_options() -> None:
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": [parameters[0]]}, {"params": parameters[1:], "lr": 0.5}]
    optimizer = FusedAdam(iter(groups), 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]
    assert all(group["fused"] for group in optimizer.param_groups)
    with pytest.raises(NotImplementedError, match="closure"):
        optimizer.step(lambda: torch.zeros(()))
