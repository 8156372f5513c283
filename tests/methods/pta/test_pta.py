"""Pseudo-task augmentation: losses, gradients, controls; every check of the methods sheet."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_baselines.ends import FullSharing
from mtl_baselines.fixed import FixedConfig
from mtl_pta.config import COMBINATIONS, LETTERS, PtaConfig
from mtl_pta.decoders import Decoders
from mtl_pta.network import PseudoTaskNetworks
from mtl_pta.presets import PRESETS
from mtl_pta.strategy import PseudoTaskAugmentation
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch, make_tasks
from support.typed import child
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Examples, Regression, Suite, Task
from mtl_framework.runs.config import RunConfig
from mtl_framework.support.errors import MtlError

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}


def suite(tasks: int = 2, validation: bool = True) -> Suite:
    """Tasks of two classes, with validation examples."""
    found = []
    for task in binary_suite(tasks).tasks:
        held_out = task.train if validation else None
        found.append(Task(task.name, task.objective, task.train, task.test, held_out))
    return Suite("binary", found)


def batch(tasks: int = 2, seed: int = 0) -> Batch:
    inputs = make_batch(binary_suite(tasks).tasks, 5, seed).inputs
    generator = torch.Generator().manual_seed(seed)
    targets = [torch.randint(0, 2, (len(x),), generator=generator) for x in inputs]
    return Batch(inputs, tuple(targets))


def build(tasks: int = 2, seed: int = 0, **options: Any) -> PseudoTaskAugmentation:
    torch.manual_seed(seed)
    strategy = PseudoTaskAugmentation(PtaConfig(**options), seed=7)
    strategy.build(dense_backbone(norm=True), suite(tasks)).double()
    return strategy


def layers(strategy: PseudoTaskAugmentation, task: int = 0) -> list[dict[str, Tensor]]:
    """Copies of every decoder's weights."""
    found = strategy.network.decoders(task).layers
    return [{k: v.clone() for k, v in layer.state_dict().items()} for layer in found]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


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


# -- the controls -------------------------------------------------------------------------------


def test_decoders_start_independently() -> None:
    found = layers(build(decoders=3))
    assert not any(same(found[a], found[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_frozen_decoders_do_not_move_a_bit(optimizer: str) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "weight_decay": 0.1}
    strategy = build(variant="F", decoders=3, **options)
    before = layers(strategy)
    for seed in range(4):
        strategy.weight_step(batch(seed=seed))
    after = layers(strategy)
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [False, True, True]


COSTS = torch.tensor([[3.0, 1.0, 2.0, 1.0], [0.0, 5.0, 5.0, 5.0]])


def updated(
    costs: Tensor = COSTS, **options: Any
) -> tuple[PseudoTaskAugmentation, list[list[dict[str, Tensor]]]]:
    """After some steps and one update, with the weights from between them."""
    strategy = build(decoders=4, **options)
    for seed in range(3):
        strategy.weight_step(batch(seed=seed))
    before = [layers(strategy, task) for task in range(2)]
    strategy.choose(costs)
    strategy.update_decoders(costs)
    return strategy, before


def test_without_letters_that_update_nothing_is_updated() -> None:
    for variant in ("I", "F", "D", "FD"):
        strategy, before = updated(variant=variant)
        for task in range(2):
            assert all(map(same, before[task], layers(strategy, task)))


def test_noise_moves_all_that_are_not_best_and_has_the_stated_size() -> None:
    for noise, deviation in (("variance", 0.1), ("deviation", 0.01)):
        strategy, before = updated(variant="FP", noise=noise)
        moved: list[Tensor] = []
        for task, best in ((0, {1, 3}), (1, {0})):
            for number, (one, other) in enumerate(
                zip(before[task], layers(strategy, task), strict=True)
            ):
                assert same(one, other) == (number in best)
                if number not in best:
                    moved += [(other[name] - one[name]).flatten() for name in one]
        size = float(torch.cat(moved).std())
        assert size == pytest.approx(deviation, rel=0.5)


def test_the_noise_is_normal_with_the_stated_variance() -> None:
    decoders = Decoders(nn.Linear(60, 50), 2, 0.0, False, False)
    before = decoders.get_parameter("layers.1.weight").detach().clone()
    which = torch.tensor([False, True])
    decoders.perturb(which, PtaConfig().deviation(0.01), torch.Generator().manual_seed(0))
    after = decoders.get_parameter("layers.1.weight").detach()
    noise = (after - before).flatten().numpy()
    assert noise.var() == pytest.approx(0.01, rel=0.1)
    assert abs(noise.mean()) < 0.01
    assert float(np.mean(np.abs(noise) < 0.1)) == pytest.approx(0.683, abs=0.03)


def test_greedy_makes_all_equal_rates_included() -> None:
    strategy = build(variant="G", decoders=4)
    strategy.network.decoders(0).rates.copy_(torch.tensor([0.2, 0.3, 0.4, 0.5]))
    strategy.choose(COSTS)
    strategy.update_decoders(COSTS)
    for task, chosen in ((0, 1), (1, 0)):
        decoders = strategy.network.decoders(task)
        assert int(decoders.chosen) == chosen
        found = layers(strategy, task)
        assert all(same(found[chosen], other) for other in found)
    assert strategy.network.decoders(0).rates.tolist() == pytest.approx([0.3] * 4)


def test_greedy_and_perturb_copy_first_and_leave_the_best_alone() -> None:
    strategy, before = updated(variant="GP")
    found = layers(strategy, 1)
    assert same(found[0], before[1][0])
    for other in found[1:]:
        differences = torch.cat([(other[name] - found[0][name]).flatten() for name in other])
        assert 0.03 < float(differences.std()) < 0.3
    tied = layers(strategy, 0)  # 1 and 3 are both best: 3 takes 1's weights, and no noise
    assert same(tied[1], before[0][1])
    assert same(tied[3], before[0][1])


@given(st.integers(0, 2**31), st.floats(0.2, 0.8), st.integers(1, 5))
def test_perturbed_rates_stay_in_their_range(seed: int, rate: float, times: int) -> None:
    decoders = Decoders(nn.Linear(2, 2), 3, rate, True, True)
    generator = torch.Generator().manual_seed(seed)
    which = torch.tensor([False, True, True])
    for _ in range(times):
        decoders.perturb_rates(which, 0.316, (0.2, 0.8), generator)
    assert float(decoders.rates[0]) == pytest.approx(rate, rel=1e-6)
    assert bool(((decoders.rates >= 0.2) & (decoders.rates <= 0.8001)).all())


def test_hyperperturb_moves_the_rates_of_those_that_are_not_best() -> None:
    strategy, before = updated(variant="HGD")
    rates = strategy.network.decoders(1).rates
    assert float(rates[0]) == 0.5
    assert len(set(rates.tolist())) == 4
    assert all(same(before[1][0], other) for other in layers(strategy, 1))


@pytest.mark.parametrize("moments", ["keep", "copy", "reset"])
def test_moments_of_changed_decoders_are_treated_as_stated(moments: str) -> None:
    strategy, _ = updated(variant="GP", moments=moments)
    fresh, _ = updated(variant="I")
    state = strategy.optimizer.state

    def moment(of: PseudoTaskAugmentation, number: int) -> Tensor:
        weight = of.network.decoders(1).layers[number].weight
        found: Tensor = of.optimizer.state[weight]["exp_avg"]
        return found

    own = torch.equal(moment(strategy, 0), moment(fresh, 0))
    assert own  # the best one's are nobody else's business
    other = strategy.network.decoders(1).layers[2].weight
    if moments == "reset":
        assert other not in state
    else:
        source = strategy if moments == "copy" else fresh
        assert torch.equal(moment(strategy, 2), moment(source, 0 if moments == "copy" else 2))
    strategy.weight_step(batch(seed=9))  # the optimiser can go on


def test_copied_moments_are_not_shared() -> None:
    strategy, _ = updated(variant="G", moments="copy")
    one, other = (strategy.network.decoders(1).layers[n].weight for n in (0, 2))
    strategy.optimizer.state[one]["exp_avg"].zero_()
    assert bool(strategy.optimizer.state[other]["exp_avg"].any())


def test_moments_of_perturbed_decoders_can_begin_anew() -> None:
    strategy, _ = updated(variant="P", moments="reset")
    first, third = (strategy.network.decoders(1).layers[n].weight for n in (0, 2))
    assert first in strategy.optimizer.state
    assert third not in strategy.optimizer.state


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


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": ""}, "letters of IFPDHG, .* combinations being I, F, P, D, FP, GP, GD, HGD"),
        ({"variant": "PX"}, "letters of IFPDHG"),
        ({"variant": "PGP"}, "every letter once \\(P occurs twice\\)"),
        ({"dropout_range": (0.5, 0.4)}, "0 <= low <= high < 1, found \\[0.5, 0.4\\]"),
        ({"dropout_range": (0.5, 1.0)}, "found \\[0.5, 1.0\\]"),
        ({"variant": "HGD", "dropout": 0.9}, "within dropout_range, \\[0.2, 0.8\\], .* found 0.9"),
        ({"meta_iteration": 0}, "greater than or equal to 1"),
        ({"meta_iteration": "week"}, "'epoch'"),
        ({"sharing": {}}, "exactly one of pattern, matrix, from_run, shared_first, found none"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PtaConfig(**options)


def test_all_letters_can_be_combined() -> None:
    for number in range(1, 2 ** len(LETTERS)):
        variant = "".join(x for bit, x in enumerate(LETTERS) if number >> bit & 1)
        config = PtaConfig(variant=variant)
        assert [config.has(letter) for letter in LETTERS] == [x in variant for x in LETTERS]


def test_presets_are_valid_runs() -> None:
    assert set(COMBINATIONS) <= set(PRESETS)
    for name, preset in PRESETS.items():
        run = RunConfig.model_validate(preset)
        config = PtaConfig(**run.strategy.options)
        if name in COMBINATIONS:
            assert (config.variant, config.meta_iteration, run.iterations) == (name, 250, 25_000)
        assert (config.perturbation, config.rate_perturbation) == (0.01, 0.1)
        assert (config.dropout, config.dropout_range) == (0.5, (0.2, 0.8))


def refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MtlError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_choosing_needs_validation_examples() -> None:
    strategy = PseudoTaskAugmentation(PtaConfig())
    refused(
        lambda: strategy.build(dense_backbone(), suite(validation=False)),
        "task 'task0' of suite 'binary' has none; .* decoders=1",
    )


def test_heads_inside_a_backbone_are_refused() -> None:
    tasks = [Task(t.name, t.objective, t.train, t.test, t.test) for t in make_tasks()]
    backbone = make_backbone("deit_tiny_distilled_patch16_224", args={"depth": 1})
    strategy = PseudoTaskAugmentation(PtaConfig())
    refused(lambda: strategy.build(backbone, Suite("i", tasks)), "'deit_tiny.* single linear")


def test_an_unknown_task_to_follow_is_refused() -> None:
    refused(lambda: build(course_of="task9"), "unknown task 'task9'; did you mean 'task")
