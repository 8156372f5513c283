"""Moving averages of weights are those of their formulas, and begin when they should."""

import pytest
from support.three_parameters import made, steps, values


@pytest.mark.parametrize(
    ("name", "warmup", "wanted"),
    [
        ("ema", False, 1.5 * 0.75 + 1.0 * 0.25),
        ("ema", True, 1.5 * 2 / 11 + 1.0 * 9 / 11),
        ("swa", True, 1.25),
    ],
)
def test_averages_are_those_of_their_formulas(name: str, warmup: bool, wanted: float) -> None:
    network, optimizer = made(average={"name": name, "decay": 0.75, "start": 1, "warmup": warmup})
    average = optimizer.average
    assert average is not None
    steps(network, optimizer, 0.0, 1.0, 1.0)  # the weight is 2, then 1.5, then 1
    average.swap()
    assert values(network) == pytest.approx([wanted, wanted, 2.0])
    average.swap()
    assert values(network) == [1.0, 1.0, 2.0]
    optimizer.restart_average()
    steps(network, optimizer, 0.0)
    average.swap()
    assert values(network) == [1.0, 1.0, 2.0]


def test_an_ema_of_the_start_forgets_it_and_then_keeps_its_decay() -> None:
    network, optimizer = made(average={"name": "ema", "decay": 0.9})
    average = optimizer.average
    assert average is not None
    wanted = 0.0
    for n in range(120):
        steps(network, optimizer, 1.0)
        now = values(network)[0]
        decay = min(0.9, (1 + n) / (10 + n)) if n else 0.0  # 0.9 from the 81st step on
        wanted = decay * wanted + (1 - decay) * now
        if n in (1, 5, 79, 80, 81, 119):
            average.swap()
            assert values(network)[0] == pytest.approx(wanted, rel=1e-5)
            average.swap()


def test_an_average_that_has_not_begun_does_not_begin_by_a_restart() -> None:
    network, optimizer = made(average={"name": "swa", "start": 3})
    average = optimizer.average
    assert average is not None
    steps(network, optimizer, 1.0)
    optimizer.restart_average()
    steps(network, optimizer, 1.0, 1.0, 1.0, 1.0)
    last = values(network)[0]
    average.swap()
    assert values(network)[0] == pytest.approx(last + 0.25)  # of steps 4 and 5


def test_an_average_begins_after_iterations_whatever_they_accumulate() -> None:
    network, optimizer = made(average={"name": "swa", "start": 4}, accumulate=2)
    average = optimizer.average
    assert average is not None
    moves = []
    for _ in range(4):
        steps(network, optimizer, 1.0, 1.0)
        moves.append(values(network)[0])
    average.swap()
    assert values(network)[0] == pytest.approx((moves[2] + moves[3]) / 2)


# -- groups of the networks' layers -------------------------------------------------------------


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_replaced_parameters_begin_their_average_anew_and_others_go_on(name: str) -> None:
    network, optimizer = made(average={"name": name, "decay": 0.5, "warmup": False})
    average = optimizer.average
    assert average is not None
    optimizer.restart_average([network.weight])  # nothing is averaged yet
    steps(network, optimizer, 1.0, 1.0)  # 1.5, then 1: 1.25 on average
    network.weight.data.fill_(8.0)
    optimizer.restart_average([network.weight])
    average.swap()
    assert values(network) == [8.0, 1.25, 2.0]
    average.swap()
    steps(network, optimizer, 0.0)
    average.swap()
    # of the bias by ema: half of 1.25 and of 1; by swa: the mean of 1.5, 1 and 1
    assert values(network) == pytest.approx([8.0, 1.125 if name == "ema" else 3.5 / 3, 2.0])
