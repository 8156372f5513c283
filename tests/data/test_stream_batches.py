"""Batches of streams: window by window."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from support.numbered import CPU
from support.typed import stored

from mtl_framework.data.batches import BalancedBatches, evaluation_batches
from mtl_framework.data.tasks import Examples, Regression, Suite, Task
from mtl_framework.support.errors import MtlError


def streamed(windows: int, streams: int) -> Task:
    """Input (window, stream) of every row."""
    inputs = torch.cartesian_prod(torch.arange(windows), torch.arange(streams)).view(-1, 2).float()
    data = Examples(inputs, inputs[:, 0], streams=streams)
    return Task("stream", Regression(), data, data)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 12))
def test_streams_come_window_by_window_and_begin_anew(
    windows: int, streams: int, stop: int
) -> None:
    seven = Examples(torch.zeros(7, 2), torch.zeros(7))
    other = Task("other", Regression(), seven, seven)
    suite = Suite("s", [other, streamed(windows, streams)])
    batches = BalancedBatches(suite, 3, 0, CPU)
    for step in range(12):
        if step == stop:  # a resumed run goes on in the middle of the streams
            state = batches.state_dict()
            batches = BalancedBatches(suite, 3, 1, CPU)
            batches.load_state_dict(state)
        batch = batches.next()
        window = step % windows
        assert batch.inputs[0].shape == (3, 2)
        assert batch.inputs[1].tolist() == [[window, stream] for stream in range(streams)]
        assert batch.starts == ((False, True) if window == 0 else ())


@pytest.mark.parametrize("state", [{"position": 3}, {"position": -1}, {"position": 1.0}, {}, None])
def test_states_of_streams_that_do_not_fit_are_refused(state: object) -> None:
    batches = BalancedBatches(Suite("s", [streamed(3, 2)]), 1, 0, CPU)
    words = r"task 'stream' does not fit: its? ((position|key) )?should"
    with pytest.raises(MtlError, match=words):
        batches.load_state_dict({"stream": state})
    assert batches.next().inputs[0][0, 0] == 0


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 20))
def test_streams_are_evaluated_window_by_window(
    windows: int, streams: int, batch_size: int
) -> None:
    data = streamed(windows, streams).test
    parts = list(evaluation_batches(data, batch_size, CPU))
    assert [len(targets) for _, targets in parts] == [streams] * windows
    assert torch.equal(torch.cat([inputs for inputs, _ in parts]), stored(data))
