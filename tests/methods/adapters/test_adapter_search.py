"""The search for adapters: a step against plain loops, and a bank in which one entry is right."""

import pytest
import torch
from mtl_adapters.config import AdaptersConfig
from mtl_adapters.strategy import Adapters
from support.adapter_loops import CLOSE, MODELS, Loops
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch, make_tasks, stirred
from torch import Tensor

from mtl_framework import SearchDistribution
from mtl_framework.data import Batch, Suite


def next_samples(strategy: Adapters, distribution: SearchDistribution, n: int) -> Tensor:
    """The assignments that the strategy is about to draw."""
    generator = torch.Generator()
    generator.set_state(strategy.generator.get_state())
    return distribution.sample(n, generator)


@pytest.mark.parametrize("kind", ["parallel", "series", "low_rank"])
def test_the_search_step_agrees_with_the_loops(kind: str) -> None:
    """Each drawn assignment by itself, a task at a time; then ranks and probabilities by hand."""
    torch.manual_seed(1)
    config = AdaptersConfig.model_validate({
        "kind": kind, "assignment": "learned", "weights_per_unit": 2,
        "nes_samples": 5, "nes_learning_rate": 0.3, "p_min": 1e-3,
    })  # fmt: skip
    strategy = Adapters(config, seed=3)
    backbone = make_backbone("resnet18", normalization="shared", **MODELS["resnet18"])
    network = strategy.build(backbone, Suite("drawn", make_tasks((2, 3)))).double()
    stirred(network, lambda name, value: 0.3)
    distribution = strategy.distribution
    assert distribution is not None
    batch, samples = make_batch(network.tasks), next_samples(strategy, distribution, 5)
    network.eval()
    wanted = torch.zeros(5, 2, dtype=torch.float64)
    for number, assignment in enumerate(samples):
        network.assignment.copy_(assignment)
        for task, own in enumerate(network.tasks):
            features = Loops(network).features(task, batch.inputs[task], training=False)
            scores = network.heads[task](features)
            wanted[number, task] = own.objective.losses(scores, batch.targets[task]).mean()
    before = distribution.pi.tolist()
    losses = strategy.search_step(distribution, batch)
    torch.testing.assert_close(losses, wanted.detach(), **CLOSE)
    means = wanted.mean(1).tolist()
    assert len(set(means)) == 5
    u = [2 * sum(other > own for other in means) / 4 - 1 for own in means]
    for unit, rows in enumerate(before):
        for task, row in enumerate(rows):
            chosen = samples[:, unit, task].tolist()
            moved = [
                max(p + 0.3 * sum(x * ((c == k) - p) for x, c in zip(u, chosen, strict=True)) / 5,
                    1e-3)
                for k, p in enumerate(row)
            ]  # fmt: skip
            found = distribution.pi[unit, task].tolist()
            assert found == pytest.approx([p / sum(moved) for p in moved], abs=1e-12)
    assert torch.equal(network.assignment, distribution.mode())


@pytest.mark.parametrize("seed", [0, 1])
def test_the_entry_that_is_right_for_a_task_is_found(seed: int) -> None:
    """The labels of every task are what one entry of the bank says; adapters do not train."""
    torch.manual_seed(seed)
    config = AdaptersConfig.model_validate({
        "kind": "parallel", "trunk": "frozen", "layers": "one.*", "norms": "trunk",
        "assignment": "learned", "weights_per_unit": 3, "nes_learning_rate": 0.3,
    })  # fmt: skip
    strategy = Adapters(config, seed)
    network = strategy.build(dense_backbone(width=16), binary_suite(3))
    distribution = strategy.distribution
    assert distribution is not None
    with torch.no_grad():
        for parameter in network.adapters():
            parameter.normal_(std=0.7)
    inputs, right = torch.randn(64, 6), torch.tensor([[1, 2, 0], [0, 0, 0]])
    network.assignment.copy_(right)
    network.eval()
    targets = []
    with torch.no_grad():
        for task, head in enumerate(network.heads):
            scores = network.predict(task, inputs)
            head.get_parameter("bias").sub_(scores.median())
            for parameter in head.parameters():
                parameter.mul_(5 / scores.std())
            targets.append((scores > scores.median()).long().flatten())
    batch = Batch((inputs,) * 3, tuple(targets), True)
    for _ in range(100):
        strategy.search_step(distribution, batch)
    assert torch.equal(network.assignment, right)
