"""Recurrent networks: state from call to call, put aside, saved, and put back."""

import pytest
import torch
from mtl_backbones.language_model import LstmLanguageModel
from torch import nn

from mtl_framework.backbones.recurrent import (
    carried_states,
    fresh_state,
    reset_state,
    restore_states,
    stateless,
)
from mtl_framework.support.errors import MtlError


@pytest.fixture
def model() -> LstmLanguageModel:
    torch.manual_seed(0)
    return LstmLanguageModel(9, 6, width=8, dropout=0.0).eval()


def words(rows: int = 3, positions: int = 6) -> torch.Tensor:
    return torch.arange(rows * positions).view(rows, positions) % 9


def test_two_pieces_give_what_the_whole_gives(model: LstmLanguageModel) -> None:
    whole = model(words())
    reset_state(model)
    pieces = torch.cat([model(words()[:, :2]), model(words()[:, 2:])], 1)
    torch.testing.assert_close(pieces, whole)
    # and what the second piece gives depends on the first
    reset_state(model)
    assert not torch.allclose(model(words()[:, 2:]), whole[:, 2:])


def test_no_gradient_flows_into_the_call_before(model: LstmLanguageModel) -> None:
    first = model(words())
    first.sum().backward()
    model.zero_grad()
    model(words()).sum().backward()  # would need the first graph again, which is gone
    assert model.state is not None
    assert not any(part.requires_grad for part in model.state)


def test_a_fresh_state_leaves_the_held_one_alone(model: LstmLanguageModel) -> None:
    network = nn.ModuleList([model])
    model(words())
    held = model.state
    with fresh_state(network):
        assert model.state is None
        model(words(5))  # another number of streams
    assert model.state is held
    with pytest.raises(RuntimeError), fresh_state(network):
        raise RuntimeError
    assert model.state is held


def test_another_number_of_streams_is_refused(model: LstmLanguageModel) -> None:
    model(words(3))
    with pytest.raises(MtlError, match="state of 3 streams, but 2 rows came"):
        model(words(2))
    reset_state(model)
    model(words(2))


def test_a_stateless_network_begins_every_call_anew(model: LstmLanguageModel) -> None:
    alone = model(words())
    assert stateless(model) is model
    for _ in range(2):
        torch.testing.assert_close(model(words()), alone)
    model(words(5))


def test_states_are_saved_and_restored_by_name(model: LstmLanguageModel) -> None:
    network, other = nn.ModuleList([model]), nn.ModuleList([LstmLanguageModel(9, 6, width=8)])
    assert not any("state" in key for key in network.state_dict())
    assert carried_states(network) == {"0": None}
    model(words())
    saved = carried_states(network)
    expected = model(words())
    other.load_state_dict(network.state_dict())
    restore_states(other, saved)
    torch.testing.assert_close(other.eval()[0](words()), expected)
    with pytest.raises(MtlError, match="other recurrent modules: 0"):
        restore_states(nn.Linear(1, 1), saved)
