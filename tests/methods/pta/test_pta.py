"""Pseudo-task augmentation: losses, gradients, controls; every check of the methods sheet."""

from typing import Any

import pytest
import torch
from mtl_baselines.ends import FullSharing
from mtl_baselines.fixed import FixedConfig
from mtl_pta.config import PtaConfig
from mtl_pta.decoders import Decoders
from mtl_pta.network import PseudoTaskNetworks
from mtl_pta.strategy import PseudoTaskAugmentation
from support.dense import dense_backbone
from support.makers import make_backbone, make_batch, make_tasks
from support.pta import batch, build, suite
from support.typed import child
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Examples, Regression, Suite, Task

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}


def model_gradients(network: PseudoTaskNetworks, data: Batch) -> list[Tensor]:
    """Gradients of everything but the decoders."""
    network.zero_grad()
    network.train()
    network.accumulate_gradients(data, network.assignment[None])
    named = network.model.named_parameters()
    return [p.grad.clone() for _, p in named if p.grad is not None]


# -- the theorem --------------------------------------------------------------------------------


def linear_decoders(weights: list[list[float]]) -> Decoders:
    decoders = Decoders(nn.Linear(2, 1, bias=False), len(weights), 0.0, False, False).double()
    with torch.no_grad():
        for layer, row in zip(decoders.layers, weights, strict=True):
            layer.get_parameter("weight").copy_(torch.tensor([row]))
    return decoders


def test_the_pseudo_tasks_of_theorem_1_are_those_of_no_single_decoder() -> None:
    """In whole numbers, which doubles hold exactly: the ratios differ by 5e-5 only."""
    objective, updates = Regression(), []
    for k, features in enumerate(([6.0, 7.0], [8.0, 9.0])):
        decoders = linear_decoders([[2, 3], [4, 5]])
        f = torch.tensor([features], dtype=torch.float64, requires_grad=True)
        outputs = decoders(f)
        objective.losses(outputs.flatten(0, 1), torch.ones(2, 1)).sum().backward()
        assert f.grad is not None
        by_hand = [
            sum((1 - w[0] * a - w[1] * b) * w[i] for w in ((2, 3), (4, 5)))
            for a, b in [((6, 7), (8, 9))[k]]
            for i in range(2)
        ]
        assert f.grad[0].tolist() == [-2 * each for each in by_hand]
        updates.append(by_hand)
    assert updates == [[-296, -386], [-388, -506]]
    (a, b), (c, d) = updates
    assert a * d - b * c == 8  # not parallel, and one decoder's updates are all multiples of it


def test_a_single_decoder_is_simulated_by_equal_ones() -> None:
    gradients = []
    for count in (1, 4):
        decoders = linear_decoders([[2, 3]] * count)
        f = torch.tensor([[6.0, 7.0]], dtype=torch.float64, requires_grad=True)
        Regression().losses(decoders(f).flatten(0, 1), torch.ones(count, 1)).mean().backward()
        gradients.append(f.grad)
    assert torch.equal(gradients[0], gradients[1])  # type: ignore[arg-type]


# -- losses and gradients -----------------------------------------------------------------------


def test_a_tasks_loss_is_the_mean_over_its_decoders() -> None:
    network = build(decoders=3, dropout=0).network.train()
    data = batch()
    losses = network.losses(data, network.assignment[None])
    for task in range(2):
        each = []
        features = network.features(task, data.inputs[task])
        for layer in child(network, "heads", task, "layers").children():
            objective = network.tasks[task].objective
            outputs: Tensor = layer(features)
            each.append(objective.losses(outputs, data.targets[task]).mean())
        torch.testing.assert_close(losses[0, task], torch.stack(each).mean(), **CLOSE)


@pytest.mark.parametrize(("variant", "equal"), [("I", True), ("D", False)])
def test_equal_decoders_give_the_gradient_of_one_unless_their_masks_differ(
    variant: str, equal: bool
) -> None:
    four, one = (build(variant=variant, decoders=count).network for count in (4, 1))
    one.model.load_state_dict(four.model.state_dict())
    for task in range(2):
        four.decoders(task).copy_chosen()
        one.decoders(task).layers.load_state_dict(four.decoders(task).layers[:1].state_dict())
    found = []
    for network in (four, one):
        torch.manual_seed(3)
        found.append(model_gradients(network, batch()))
    alike = [torch.allclose(a, b, **CLOSE) for a, b in zip(*found, strict=True) if bool(a.any())]
    assert alike
    assert all(alike) == equal


def test_the_mean_of_the_outputs_trains_the_model_like_the_mean_decoder() -> None:
    """Equation 14: the loss of equation 6 says nothing that one decoder would not."""
    network = build(decoders=3, dropout=0).network.eval()
    inputs, targets = batch().inputs[0], batch().targets[0]
    gradients = []
    for of_ensemble in (True, False):
        network.zero_grad()
        features = network.features(0, inputs)
        if of_ensemble:
            outputs = network.decoder_scores(0, features).mean(0)
        else:
            outputs = network.decoders(0).mean()(features)
        network.tasks[0].objective.losses(outputs, targets).mean().backward()
        gradients.append([p.grad for p in network.model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_the_model_runs_once_a_batch_whatever_the_number_of_decoders() -> None:
    strategy = build(decoders=5)
    calls: list[int] = []
    stem = strategy.network.model.get_submodule("stem")
    stem.register_forward_hook(lambda module, x, y: calls.append(len(y)))
    strategy.weight_step(batch())
    assert calls == [10]  # rows of two tasks


def test_masks_scale_so_that_means_stay() -> None:
    decoders = Decoders(nn.Linear(4, 3), 2, 0.5, True, True)
    decoders.rates.copy_(torch.tensor([0.2, 0.8]))
    torch.manual_seed(0)
    inputs = decoders._dropped(torch.ones(5000, 4))
    for x, rate in zip(inputs, (0.2, 0.8), strict=True):
        assert x.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])
        assert float((x == 0).double().mean()) == pytest.approx(rate, abs=0.02)
    assert not torch.equal(inputs[0] > 0, inputs[1] > 0)
    common = Decoders(nn.Linear(4, 3), 2, 0.5, True, False)
    one, other = common._dropped(torch.ones(50, 4))
    assert torch.equal(one, other)
    assert all(x is y for x, y in zip(common.eval()._dropped(one), (one, one), strict=True))


# -- one decoder, one task ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["I", "FP", "GD", "IFPDHG"])
@pytest.mark.parametrize("tasks", [1, 3])
def test_one_decoder_is_plain_training_whatever_the_letters(variant: str, tasks: int) -> None:
    low = {"dropout_range": (0.0, 0.8)} if "H" in variant else {}
    pseudo = PseudoTaskAugmentation(PtaConfig(variant=variant, decoders=1, dropout=0, **low))
    plain = FullSharing(FixedConfig())
    for strategy in (pseudo, plain):
        torch.manual_seed(0)
        strategy.build(dense_backbone(norm=True), suite(tasks, validation=False)).double()
    for seed in range(3):
        pseudo.weight_step(batch(tasks, seed))
        plain.weight_step(batch(tasks, seed))
        pseudo.update_decoders(torch.zeros(tasks, 1))
    for one, other in zip(pseudo.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(one, other)


# -- what is shared below -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        ("full", [[0, 0, 0], [0, 0, 0]]),
        ("no", [[0, 1, 2], [0, 1, 2]]),
        (False, [[0, 1, 2], [0, 1, 2]]),  # how YAML reads a bare no
        ({"shared_first": 1}, [[0, 0, 0], [0, 1, 2]]),
        ({"pattern": {"*": [4, 0, 4]}}, [[1, 0, 1], [1, 0, 1]]),
    ],
)
def test_decoders_stand_on_any_assignment(sharing: Any, expected: list[list[int]]) -> None:
    strategy = build(3, decoders=2, sharing=sharing)
    assert strategy.network.assignment.tolist() == expected
    strategy.weight_step(batch(3))
    assert strategy.network.weights_per_unit == tuple(max(row) + 1 for row in expected)


# -- predicting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["best", "ensemble"])
def test_what_is_extracted_predicts_what_the_networks_do(prediction: str) -> None:
    strategy = build(decoders=3, prediction=prediction)
    strategy.weight_step(batch())
    strategy.choose(torch.tensor([[2.0, 2.0, 1.0], [1.0, 0.0, 2.0]]))
    network, inputs = strategy.network.eval(), batch().inputs
    for task, chosen in ((0, 2), (1, 1)):
        each = network.decoder_scores(task, network.features(task, inputs[task]))
        expected = each[chosen] if prediction == "best" else each.mean(0)
        torch.testing.assert_close(network.predict(task, inputs[task]), expected, **CLOSE)
        extracted = network.extract(task)(inputs[task])  # by way of single precision
        torch.testing.assert_close(extracted, expected, rtol=1e-4, atol=1e-6)
    counts = network.parameter_counts()
    assert counts.trained - counts.deployed == 2 * 2 * (8 + 1)


def test_an_ensemble_draws_nothing() -> None:
    network = build(decoders=3, prediction="ensemble").network.eval()
    inputs = batch().inputs[0]
    before = torch.get_rng_state()
    network.predict(0, inputs)
    assert torch.equal(before, torch.get_rng_state())


def test_regression_and_images_work_too() -> None:
    inputs, targets = torch.rand(6, 6), torch.rand(6, 2)
    data = Examples(inputs, targets)
    task = Task("numbers", Regression(2), data, data, data)
    strategy = PseudoTaskAugmentation(PtaConfig(decoders=3))
    strategy.build(dense_backbone(), Suite("one", [task]))
    found = strategy.weight_step(Batch((inputs,), (targets,)))
    assert found.shape == (1, 1)
    images = [Task(t.name, t.objective, t.train, t.test, t.test) for t in make_tasks()]
    strategy = PseudoTaskAugmentation(PtaConfig(variant="IFPDHG", decoders=2))
    strategy.build(make_backbone("resnet18", args={"channels": (8, 8, 8, 8)}), Suite("i", images))
    step = make_batch(images)
    step = Batch(tuple(x.float() for x in step.inputs), step.targets)
    assert strategy.weight_step(step).shape == (1, 3)


def test_labels_may_be_missing() -> None:
    strategy = build(decoders=2, dropout=0)
    full = batch()
    labelled = (torch.tensor([True, False, True, True, False]), None)
    some = Batch(full.inputs, full.targets, labelled=labelled)
    changed = Batch(full.inputs, (full.targets[0] ^ ~labelled[0], full.targets[1]))
    network = strategy.network.eval()
    one = network.losses(some, network.assignment[None])
    other = network.losses(
        Batch(changed.inputs, changed.targets, labelled=labelled), network.assignment[None]
    )
    torch.testing.assert_close(one, other, **CLOSE)
