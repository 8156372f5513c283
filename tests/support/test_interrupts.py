"""Which signals ask a run to stop, and what they do the second time."""

import signal
from collections.abc import Iterator

import pytest

from mtl_framework.support.interrupts import Interrupts


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_the_second_ctrl_c_stops_where_the_first_would_have_been_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts("") as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_ignored_again_afterwards(number: signal.Signals | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts(""):
        if number is not None:
            signal.raise_signal(number)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_closed_terminal_stops_nothing_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts("") as interrupts:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.received == signal.SIGTERM
