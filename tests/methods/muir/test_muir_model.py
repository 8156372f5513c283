"""Networks with generated weights against the same networks with their weights written in."""

import dataclasses

import pytest
import timm
import torch
from mtl_muir.method.model import Decomposition, GeneratedNetworks
from support.generated import SMALL, challenge, doubles, networks
from support.muir_networks import image_task, linear_models, whole_batch
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.backbones.recurrent import reset_state
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.model import MultiTaskModel, ParameterCounts
from mtl_framework.support.errors import MtlError

LINEAR = Decomposition(block_out=1, block_in=4, context_size=2, candidates=2)


def written_in(network: GeneratedNetworks, blocks: Tensor) -> list[nn.Module]:
    """Plain networks with the same numbers, built without the code under test."""
    models = []
    for t, (start, _) in enumerate(network.spans):
        model = network.backbones[t].create(network.tasks[t].objective.num_outputs).double()
        state = dict(network.networks[t].state_dict())
        at = start
        for weight in network.generated[t]:
            grid = weight.grid
            whole = torch.empty(grid.shape, dtype=torch.float64)
            flat = whole.view(*grid.shape[:2], -1)
            m, n = grid.block_out, grid.block_in
            for i in range(grid.ins):
                for tap in range(grid.taps):
                    for o in range(grid.outs):
                        block = blocks[at + grid.index(i, o, tap)]
                        flat[o * m : (o + 1) * m, i * n : (i + 1) * n, tap] = block
            state[weight.name] = whole
            at += grid.count
        model.load_state_dict(state)
        models.append(model)
    return models


def test_losses_and_gradients_are_those_of_plain_networks() -> None:
    network, suite = networks()
    challenge(network)
    batch = dataclasses.replace(whole_batch(suite), inputs=doubles(suite))
    losses = network.accumulate_gradients(batch)
    blocks = network.blocks()
    models = written_in(network, blocks.detach())
    gradient = torch.zeros_like(blocks)
    for t, model in enumerate(models):
        objective = suite.tasks[t].objective
        loss = objective.losses(model(batch.inputs[t]), batch.targets[t]).mean()
        loss.backward()
        torch.testing.assert_close(losses[t], loss.detach())
        at = network.spans[t][0]
        for weight in network.generated[t]:
            own = model.get_parameter(weight.name).grad
            assert own is not None
            gradient[at : at + weight.grid.count] = weight.grid.unpack(own)
            at += weight.grid.count
        generated = {weight.name for weight in network.generated[t]}
        for name, parameter in network.networks[t].named_parameters():
            assert name not in generated
            torch.testing.assert_close(parameter.grad, model.get_parameter(name).grad)
    sources = [network.hypermodules.hypermodules, network.hypermodules.contexts, network.logits]
    expected = torch.autograd.grad(blocks, sources, gradient)
    for source, grad in zip(sources, expected, strict=True):
        torch.testing.assert_close(source.grad, grad)


def test_gradients_reach_what_is_used_and_nothing_else() -> None:
    network, suite = networks()
    challenge(network)
    network.accumulate_gradients(dataclasses.replace(whole_batch(suite), inputs=doubles(suite)))
    values = network.hypermodules.hypermodules.grad
    assert values is not None
    used = torch.zeros(len(values), dtype=torch.bool)
    used[network.candidates.unique()] = True
    moved = values.flatten(1).abs().amax(1) > 0
    assert not bool(moved[~used].any())
    # a dead ReLU may leave a few blocks without any
    assert float(moved[used].double().mean()) > 0.7
    contexts, soft = network.hypermodules.contexts.grad, network.logits.grad
    assert contexts is not None
    assert soft is not None
    assert float((contexts != 0).double().mean()) > 0.7
    assert not bool(soft[~network.challenged].any())
    assert bool(soft[network.challenged].any())


def test_losses_can_be_weighted_and_differentiated_as_a_whole() -> None:
    network, suite = networks()
    batch = dataclasses.replace(whole_batch(suite), inputs=doubles(suite))
    weights = torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64)
    network.accumulate_gradients(batch, weights)
    found = [p.grad for p in network.parameters()]
    network.zero_grad()
    reset_state(network)
    (network.losses(batch) * weights).sum().backward()
    for ours, parameter in zip(found, network.parameters(), strict=True):
        if parameter.grad is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, parameter.grad)


@pytest.mark.parametrize("bias", [False, True])
def test_alike_networks_run_as_one(bias: bool) -> None:
    backbones, suite = linear_models(5, bias)
    torch.manual_seed(0)
    network = GeneratedNetworks(backbones, suite.tasks, LINEAR)
    assert [(team.first, team.last, team.together) for team in network.teams] == [(0, 5, True)]
    challenge(network)
    batch = whole_batch(suite)
    losses = network.accumulate_gradients(batch)
    found = [p.grad for p in network.parameters()]
    network.zero_grad()
    network.teams[0].together = False
    torch.testing.assert_close(network.accumulate_gradients(batch), losses)
    for ours, parameter in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def test_teams_end_where_networks_or_objectives_differ() -> None:
    backbones, suite = linear_models(4)
    others, _ = linear_models(4, bias=True)
    mixed = [backbones[0], backbones[1], others[2], others[3]]
    network = GeneratedNetworks(mixed, suite.tasks, LINEAR)
    assert [(team.first, team.last) for team in network.teams] == [(0, 2), (2, 4)]
    network, _ = networks()
    assert [team.together for team in network.teams] == [False] * 3


@pytest.mark.parametrize("size", [3, 7])
def test_batches_with_unlabelled_rows(size: int) -> None:
    backbones, suite = linear_models(3)
    network = GeneratedNetworks(backbones, suite.tasks, LINEAR)
    whole = whole_batch(suite)
    some = torch.arange(7) < size
    marks = (None, some, torch.zeros(7, dtype=torch.bool))
    losses = network.accumulate_gradients(dataclasses.replace(whole, labelled=marks))
    assert losses[2] == 0
    values = network.hypermodules.hypermodules.grad
    assert values is not None
    assert not bool(values[2].any())
    inputs = (whole.inputs[0], whole.inputs[1][some], whole.inputs[2])
    targets = (whole.targets[0], whole.targets[1][some], whole.targets[2])
    expected = network.accumulate_gradients(type(whole)(inputs, targets))
    torch.testing.assert_close(losses[:2], expected[:2])


# -- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("context_size", [0, 1, 2, 4])
def test_compact_blocks_are_the_same_in_fewer_numbers(context_size: int) -> None:
    network, _ = networks(dataclasses.replace(SMALL, context_size=context_size))
    locations = network.num_locations
    generator = torch.Generator().manual_seed(0)
    network.settle(torch.randint(locations // 2, (locations,), generator=generator))
    compact = network.compact()
    torch.testing.assert_close(compact.expand(), network.blocks().detach())
    uses = network.mapping.bincount()
    c, size = context_size, 64
    alone = int(uses[uses < max(c, 1)].sum())
    kept = int((uses >= max(c, 1)).sum())
    total = (locations - alone) * c + kept * max(c, 1) * size + alone * size
    assert compact.num_parameters == total
    ordinary = sum(p.numel() for p in network.networks.parameters())
    held = locations * c + locations * max(c, 1) * size
    assert network.parameter_counts() == ParameterCounts(ordinary + held, ordinary + total)
    assert total <= locations * size or c > 1
    challenge(network)
    with pytest.raises(MtlError, match="at the end of a generation only"):
        network.compact()


def test_at_the_start_nothing_is_lost_afterwards() -> None:
    network, _ = networks()
    compact = network.compact()
    assert compact.num_parameters == network.num_locations * 64
    assert not len(compact.hypermodules)


# -- any model of timm --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_timm_models_take_part(name: str) -> None:
    task = dataclasses.replace(image_task(), backbone=None)
    inputs = torch.rand(4, 3, 32, 32)
    if name == "test_vit":
        inputs = torch.rand(4, 3, 160, 160)
    data = dataclasses.replace(task.train, inputs=inputs, targets=torch.arange(4) % 3)
    tasks = [
        dataclasses.replace(task, name=n, train=data, test=data, validation=data) for n in "ab"
    ]
    suite = Suite("two", tasks)
    size = (inputs.shape[2], inputs.shape[3])
    backbone = build_backbone(BackboneConfig(name=name), 3, size)
    how = Decomposition(block_out=8, block_in=8, indivisible="ordinary", context_size=2)
    torch.manual_seed(0)
    network = GeneratedNetworks([backbone, backbone], suite.tasks, how)
    assert network.num_locations > 20
    assert network.generated[0] == network.generated[1]
    network.train()
    losses = network.accumulate_gradients(whole_batch(suite))
    assert bool(torch.isfinite(losses).all())
    network.eval()
    model = network.extract(1)
    assert type(model) is type(timm.create_model(name))
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), network.predict(1, inputs), rtol=1e-4, atol=1e-5)
    general: MultiTaskModel = network
    assert general.sharing() is None
