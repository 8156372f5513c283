"""Networks of generated weights: what they predict, and what is taken out of them."""

import copy
import dataclasses
import gc
import math

import pytest
import torch
from mtl_muir.method.model import Decomposition, GeneratedNetworks
from support.generated import SMALL, challenge, doubles, networks
from support.muir_networks import WORDS, three_kinds, whole_batch
from support.typed import stored
from torch import Tensor, nn

from mtl_framework.backbones.recurrent import reset_state
from mtl_framework.networks.separate import SeparateNetworks


def outputs(network: GeneratedNetworks, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    reset_state(network)
    with torch.no_grad():
        return [network.predict(t, x) for t, x in enumerate(inputs)]


def test_weights_are_generated_anew_whenever_something_changed() -> None:
    network, suite = networks()
    inputs = doubles(suite)
    network.eval()
    seen = [outputs(network, inputs)[2]]

    def has_changed() -> bool:
        seen.append(outputs(network, inputs)[2])
        fresh = GeneratedNetworks.__new__(GeneratedNetworks)
        fresh.__dict__.update(network.__dict__)
        fresh._cached, fresh._laid_out = (None, []), (None, None)
        assert torch.equal(seen[-1], outputs(fresh, inputs)[2])
        return not torch.equal(seen[-1], seen[-2])

    assert not has_changed()
    challenge(network)
    assert has_changed()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    network.accumulate_gradients(dataclasses.replace(whole_batch(suite), inputs=inputs))
    optimizer.step()
    network.forget()  # fused optimisers leave no trace
    assert has_changed()
    with torch.no_grad():
        network.logits[:, 0] = 3.0
    assert has_changed()
    network.settle(network.best_mapping())
    assert has_changed()
    state = {name: value + 0 for name, value in network.state_dict().items()}
    state["hypermodules.contexts"] = state["hypermodules.contexts"] * 2
    network.load_state_dict(state)
    assert has_changed()
    assert not has_changed()


def test_the_survivor_keeps_the_context_that_was_fitted_to_it() -> None:
    network, _ = networks(dataclasses.replace(SMALL, fitted=True))
    challenge(network)
    assert network.maps is not None
    same = network.candidates == network.mapping[:, None]
    assert torch.equal(network.maps[same], torch.eye(2).double().expand(int(same.sum()), 2, 2))

    def alone(candidate: int) -> Tensor:
        with torch.no_grad():
            network.logits.fill_(-100)
            network.logits[:, candidate] = 100
            return network.blocks()

    before, merged = alone(0), alone(1)
    open = network.challenged[network.parts]
    torch.testing.assert_close(merged[open].norm(dim=(1, 2)), before[open].norm(dim=(1, 2)))
    assert ((merged - before)[open].flatten(1).norm(dim=1) > 0).any()
    network.settle(network.best_mapping())
    torch.testing.assert_close(network.blocks().detach(), merged)
    unchanged = torch.eye(2).double().expand_as(network.maps)
    assert torch.equal(network.maps, unchanged)


@pytest.mark.parametrize("merged", [True, False])
def test_extracted_networks_are_ordinary_and_give_the_same_outputs(merged: bool) -> None:
    network, suite = networks()
    inputs = doubles(suite)
    network.train()
    network.accumulate_gradients(dataclasses.replace(whole_batch(suite), inputs=inputs))
    challenge(network)
    if not merged:
        network.settle(network.best_mapping())
    network.eval()
    found = outputs(network, inputs)
    models = [network.extract(t) for t in range(len(suite))]
    with torch.no_grad():
        network.hypermodules.hypermodules.mul_(1.5)  # the models are copies
    for t, model in enumerate(models):
        own = network.backbones[t].create(suite.tasks[t].objective.num_outputs)
        assert type(model) is type(own)
        assert [p.shape for p in model.parameters()] == [p.shape for p in own.parameters()]
        assert not model.training
        with torch.no_grad():
            torch.testing.assert_close(model(inputs[t]), found[t])


def test_streams_go_on_from_call_to_call() -> None:
    network, suite = networks()
    network.eval()
    inputs = doubles(suite)
    first = outputs(network, inputs)[1]
    with torch.no_grad():
        second = network.predict(1, inputs[1])
    assert first.shape == (4, 5, WORDS)
    assert not torch.equal(first, second)
    batch = dataclasses.replace(whole_batch(suite), inputs=inputs, starts=(True, True, True))
    losses = network.losses(batch)
    assert torch.equal(losses, network.losses(batch))


def test_generated_weights_are_not_kept_alive_by_lstms() -> None:
    network, suite = networks()
    batch = dataclasses.replace(whole_batch(suite), inputs=doubles(suite))
    network.accumulate_gradients(batch)
    gc.collect()
    copy.deepcopy(network)  # refused for tensors that hang on a graph
    lstm = network.networks[1].lstm
    assert isinstance(lstm, nn.LSTM)
    held = [weight for weight in lstm._flat_weights if weight is not None]
    assert {id(weight) for weight in held} == {id(bias) for bias in lstm.parameters()}


def test_the_librarys_own_start_is_kept() -> None:
    backbones, suite = three_kinds()
    torch.manual_seed(5)
    plain = SeparateNetworks(backbones, suite.tasks).eval()
    torch.manual_seed(5)
    how = dataclasses.replace(SMALL, library=True)
    network = GeneratedNetworks(backbones, suite.tasks, how).eval()
    for t, task in enumerate(suite.tasks):
        inputs = stored(task.train)
        torch.testing.assert_close(network.predict(t, inputs), plain.predict(t, inputs))


def test_he_initialisation_gives_every_layer_its_variance() -> None:
    network, _ = networks(dataclasses.replace(SMALL, context_size=4))
    blocks = network.blocks().detach()
    at = 0
    for weight in (w for found in network.generated for w in found):
        own = blocks[at : at + weight.grid.count]
        at += weight.grid.count
        assert float(own.std()) == pytest.approx(weight.deviation, rel=0.15)


def test_an_overhang_is_discarded() -> None:
    how = Decomposition(block_out=5, block_in=7, context_size=2, indivisible="discard")
    network, suite = networks(how)
    expected = sum(
        math.prod((math.ceil(w.grid.shape[0] / 5), math.ceil(w.grid.shape[1] / 7), w.grid.taps))
        for found in network.generated
        for w in found
    )
    assert network.num_locations == expected
    inputs = doubles(suite)
    network.eval()
    for t, found in enumerate(outputs(network, inputs)):
        torch.testing.assert_close(network.extract(t)(inputs[t]), found)
