"""What is taken out of networks of columns is an ordinary module, however often it is traced."""

import copy
import io
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import SluiceConfig
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.sluice import Sluice
from support.cross_stitch import CLOSE, features, features_suite, one_stem, stirred
from support.makers import make_batch
from torch import Tensor, nn

from mtl_framework.networks import columns


@pytest.fixture
def network() -> ColumnNetworks:
    """Two mixed units, of which the last mixer reads the first."""
    torch.manual_seed(1)
    strategy = Sluice(SluiceConfig(after="block", penalty=0))
    suite, backbone = features_suite(common_input=True), features("task")
    mixers = strategy.mixers(backbone, [0, 1], len(suite))
    network = ColumnNetworks(backbone, suite, mixers).double()
    one_stem(stirred(network))
    return network.eval()


def traced(model: nn.Module, inputs: Tensor) -> nn.Module:
    return torch.export.export(model, (inputs,)).module()


def pickled(model: nn.Module, inputs: Tensor) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def from_state(model: nn.Module, inputs: Tensor) -> nn.Module:
    """A copy with the weights of another, which it gets back."""
    state = copy.deepcopy(model.state_dict())
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(1)
    other.load_state_dict(state)
    return other


WAYS: list[Callable[[nn.Module, Tensor], Any]] = [
    traced,
    lambda model, inputs: copy.deepcopy(model),
    pickled,
    from_state,
]


@torch.no_grad()
def test_it_can_be_copied_and_traced_again_and_again(network: ColumnNetworks) -> None:
    """Every copy computes the same, and so does the module that it was made of, afterwards."""
    model, inputs = network.extract(1), make_batch(network.tasks).inputs[0]
    expected = network.predict(1, inputs)
    for way in [*WAYS, *WAYS]:
        made = way(model, inputs)
        torch.testing.assert_close(made(inputs), expected, **CLOSE)
        torch.testing.assert_close(model(inputs), expected, **CLOSE)
        torch.testing.assert_close(copy.deepcopy(model)(inputs), expected, **CLOSE)
    assert columns._running.earlier == {}  # nothing lives longer than a run


@torch.no_grad()
def test_a_run_that_ends_with_an_error_leaves_nothing(network: ColumnNetworks) -> None:
    model, inputs = network.extract(1), make_batch(network.tasks).inputs[0]

    def fail(module: nn.Module, arguments: Any) -> None:
        raise KeyboardInterrupt

    handle = model.get_submodule("model.two").register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        model(inputs)
    assert columns._running.earlier == {}
    handle.remove()
    torch.testing.assert_close(model(inputs), network.predict(1, inputs), **CLOSE)


def test_threads_do_not_see_each_other(network: ColumnNetworks) -> None:
    """All threads have run the first mixed unit before any of them runs the second."""
    model, found = network.extract(2), {}
    together = Barrier(3, timeout=60)
    inputs = [make_batch(network.tasks, 4 + number, seed=number).inputs[0] for number in range(3)]

    def wait(module: nn.Module, arguments: Any) -> None:
        together.wait()

    model.get_submodule("model.two").register_forward_pre_hook(wait)

    @torch.no_grad()
    def predict(number: int) -> None:
        found[number] = model(inputs[number])

    threads = [Thread(target=predict, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, each in enumerate(inputs):
        torch.testing.assert_close(found[number], network.predict(2, each), **CLOSE)
