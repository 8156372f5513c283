"""A problem with a known solution: tasks that ask for opposite labels must not share."""

import pytest
import torch
from mtl_lws.strategy import LearnedWeightSharing
from support.dense import binary_suite, dense_backbone
from support.lws import paper
from torch import Tensor

from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite


def opposite_labels(generator: torch.Generator, direction: Tensor) -> Batch:
    """Tasks 0 and 1 ask for the side of a plane that an input lies on, 2 and 3 for the other."""
    inputs = tuple(torch.randn(16, 6, generator=generator) for _ in range(4))
    targets = tuple(((x @ direction > 0) ^ (task >= 2)).long() for task, x in enumerate(inputs))
    return Batch(inputs, targets)


def train_on_opposite_labels(seed: int, **options: object) -> tuple[LearnedWeightSharing, float]:
    """One unit with banks. Heads are equal and stay so: they cannot turn a label round."""
    torch.manual_seed(seed)
    config = paper(learning_rate=1e-2, nes_learning_rate=0.1, **options)
    strategy = LearnedWeightSharing(config, seed)
    suite: Suite = binary_suite(4)
    network = strategy.build(dense_backbone(shared=("stem", "one")), suite)
    for head in network.heads:
        head.load_state_dict(network.heads[0].state_dict())
        head.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(6, generator=generator)
    for _ in range(150):
        strategy.search_step(opposite_labels(generator, direction))
        strategy.weight_step(opposite_labels(generator, direction))
    network.eval()
    wrong = []
    for _ in range(20):
        batch = opposite_labels(generator, direction)
        for task in range(4):
            outputs = network.predict(task, batch.inputs[task])
            scores = suite.tasks[task].objective.scores(outputs, batch.targets[task])
            wrong.append(float(scores.mean()))
    return strategy, sum(wrong) / len(wrong)


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "options"),
    [
        *((seed, {}) for seed in (0, 1, 2)),
        (0, {"credit": "task"}),
        *((seed, {"estimator": "gumbel"}) for seed in (0, 1, 2)),
    ],
)
def test_tasks_with_opposite_labels_are_told_apart(seed: int, options: dict[str, str]) -> None:
    strategy, error = train_on_opposite_labels(seed, weights_per_unit=2, **options)
    a, b, c, d = strategy.network.assignment[0].tolist()
    assert a == b != c == d
    assert strategy.distribution.entropy() < 0.1
    assert error < 10


@pytest.mark.long
def test_without_a_choice_opposite_labels_cannot_be_learned() -> None:
    _, error = train_on_opposite_labels(0, weights_per_unit=1)
    assert error > 40
