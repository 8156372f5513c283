"""The prior from affinity: numbers worked out by hand, and tasks that find the same hard."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_lws.beyond.affinity import Difficulty, groups_by_affinity
from mtl_lws.beyond.conflict import average_linkage
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from support.dense import dense_backbone
from support.tiny import start
from torch import Tensor

from mtl_framework import RowLossNetworks, run
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Binary, Examples, Suite, Task
from mtl_framework.support.errors import MtlError

NAN = float("nan")


def losses(*margins: list[float]) -> Tensor:
    """Losses of tasks whose margins 1 - exp(-loss) are given."""
    return -(1 - torch.tensor(margins, dtype=torch.float64)).log()


def test_agreement_is_counted_by_hand() -> None:
    """Means are 0.5, so that 0, 0, 1, 1 of the examples are hard for the first two tasks."""
    difficulty = Difficulty(3)
    difficulty.add(losses([0.1, 0.1, 0.9, 0.9], [0.2, 0.2, 0.8, 0.8], [0.1, 0.9, 0.1, 0.9]))
    found = difficulty.affinity()
    torch.testing.assert_close(found[0], torch.tensor([1, 1, 0.5]).double())
    assert torch.equal(found, found.T)
    beyond = difficulty.beyond_chance()
    torch.testing.assert_close(beyond[0], torch.tensor([1.0, 1.0, 0.0]).double())
    # the first task changes its mind: nothing agreed, and the old batch's weight is 0.99
    difficulty.add(losses([0.9, 0.9, 0.1, 0.1], [0.2, 0.2, 0.8, 0.8], [NAN] * 4))
    found = difficulty.affinity()
    assert float(found[0, 1]) == pytest.approx(0.99 / 1.99)
    assert float(found[0, 2]) == 0.5  # no label of the third, so no change
    beyond = difficulty.beyond_chance()
    assert float(beyond[0, 1]) == pytest.approx((0.99 / 1.99 - 0.5) / 0.5)


def test_what_is_rarely_hard_agrees_by_chance() -> None:
    """One in ten examples is hard, another one for each task: they agree on eight of ten."""
    first, second = [0.0] * 10, [0.0] * 10
    first[0] = second[1] = 0.9
    difficulty = Difficulty(2)
    difficulty.add(losses(first, second))
    assert float(difficulty.affinity()[0, 1]) == pytest.approx(0.8)
    chance = 0.1 * 0.1 + 0.9 * 0.9
    assert float(difficulty.beyond_chance()[0, 1]) == pytest.approx((0.8 - chance) / (1 - chance))


def test_only_examples_with_labels_of_both_count() -> None:
    """Of examples 0 to 3 the tasks have 0, 1, 2 and 1, 2, 3; on 1 and 2 they agree."""
    difficulty = Difficulty(3)
    difficulty.add(losses([0.9, 0.1, 0.9, NAN], [NAN, 0.2, 0.8, 0.2], [NAN, NAN, NAN, NAN]))
    assert float(difficulty.affinity()[0, 1]) == 1
    assert float(difficulty.beyond_chance()[0, 1]) == pytest.approx(1)
    assert difficulty.beyond_chance()[2].tolist() == [0, 0, 1]


def test_the_most_alike_are_put_together_first() -> None:
    agreement = torch.tensor(
        [[1, 0.8, 0.1, 0.45], [0.8, 1, 0.2, 0.6], [0.1, 0.2, 1, 0.0], [0.45, 0.6, 0.0, 1]]
    ).double()
    # 0 and 1 first; 3 to them with (0.45 + 0.6) / 2 = 0.525; 2 stays alone
    assert average_linkage(agreement, 0.5, 4).tolist() == [[0, 0, 1, 0]]
    assert average_linkage(agreement, 0.53, 4).tolist() == [[0, 0, 2, 1]]
    assert average_linkage(agreement, 0.53, 1).tolist() == [[0, 0, 0, 0]]


def asked(examples: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Two tasks ask for one thing that is often hard to tell, the third for another one."""
    inputs = torch.randn(examples, 6, generator=generator)
    noise = torch.randn(2, examples, generator=generator)
    first, other = inputs[:, 0] + noise[0] > 0, inputs[:, 1] + noise[1] > 0
    return inputs, [first.long(), first.long(), other.long()]


def common_suite(generator: torch.Generator) -> Suite:
    """Three such tasks; a fifth of the examples has no label of the second."""
    parts = {}
    for split, examples in (("train", 200), ("test", 40)):
        inputs, targets = asked(examples, generator)
        known = torch.arange(examples) % 5 != 0
        parts[split] = [
            Examples(inputs, target, labelled=known if number == 1 else None)
            for number, target in enumerate(targets)
        ]
    tasks = [Task(f"task{n}", Binary(), parts["train"][n], parts["test"][n]) for n in range(3)]
    return Suite("common", tasks, common_input=True)


def test_tasks_that_find_the_same_hard_start_on_one_weight() -> None:
    torch.manual_seed(2)
    generator = torch.Generator().manual_seed(2)
    strategy = LearnedWeightSharing(LwsConfig(prior="affinity"), 1)
    network = strategy.build(dense_backbone(), common_suite(generator))
    assert isinstance(network, RowLossNetworks)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def batch() -> Batch:
        inputs, targets = asked(64, generator)
        return Batch((inputs,) * 3, tuple(targets), common_input=True)

    groups = groups_by_affinity(network, batch, 60, 1e-2, 3)
    assert groups.tolist() == [[0, 0, 1]] * 2
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_run_begins_with_it(tmp_path: Path) -> None:
    suite = common_suite(torch.Generator().manual_seed(0))
    options: dict[str, Any] = {
        "prior": "affinity", "prior_iterations": 30, "prior_strength": 0.9, "learning_rate": 0.01,
        "nes_learning_rate": 0.0, "shared_start": 0, "backbone.shared": [], "iterations": 1,
        "batch_size": 32,
    }  # fmt: skip
    result = run(
        "lws", "two_features", suite, output=tmp_path / "run", device="cpu", progress=False,
        **options,
    )  # fmt: skip
    assert result.assignment is not None
    assert result.assignment.weights == ((0, 0, 1),)


def test_tasks_with_inputs_of_their_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"suite 'tiny' have inputs of their own: take 'conflict'"):
        start(tmp_path / "run", strategy={"name": "learned", "prior": "affinity"})
