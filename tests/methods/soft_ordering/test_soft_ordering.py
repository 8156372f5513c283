"""Soft layer ordering: against plain loops, as permutations, in one call a depth, taken out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_soft_ordering.config import SoftOrderingConfig
from mtl_soft_ordering.figures import order_figures, orders
from mtl_soft_ordering.order import FixedOrder, SoftOrder
from mtl_soft_ordering.strategy import SoftOrdering, cores
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch
from support.order_loops import CLOSE, MODELS, compare, gradients, ordered

from mtl_framework import MixtureNetworks, RunRecord, TrainingConfig
from mtl_framework.export import export_network, export_onnx, export_program
from mtl_framework.networks.mixture_networks import MixedLayers
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.routing.norms import RoutedBatchNorm
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.support.errors import MtlError
from mtl_framework.testing import Trial


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("resnet18", {"batched": False, "group_major": False}),
        ("resnet18", {"group_major": False}),
        ("vit_tiny_patch16_224", {}),
        ("convnext_atto", {"group_major": False}),
        ("resnet18", {"order": "permuted"}),
        ("vit_tiny_patch16_224", {"order": "permuted", "batched": False}),
    ],
)
def test_every_kind_of_model_agrees_with_the_loops(name: str, options: dict[str, Any]) -> None:
    network = ordered(make_backbone(name, normalization="shared", **MODELS[name]), **options)
    assert len(network.pools[0]) == 3
    compare(network, make_batch(network.tasks))


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", ["resnet18"])
def test_averages_of_tasks_and_common_inputs_agree_with_the_loops(name: str, batched: bool) -> None:
    network = ordered(make_backbone(name, normalization="task", **MODELS[name]), 3, batched=batched)
    compare(network, make_batch(network.tasks, (4, 6, 4)))
    network.zero_grad()
    batch = make_batch(network.tasks, common_input=True)
    network.train()
    own = network.accumulate_gradients(replace(batch, common_input=False), network.assignment[None])
    wanted = gradients(network)
    network.zero_grad()
    common = network.accumulate_gradients(batch, network.assignment[None])
    torch.testing.assert_close(common, own, **CLOSE)
    for key, gradient in gradients(network).items():
        torch.testing.assert_close(gradient, wanted[key], **CLOSE)


@pytest.mark.parametrize("mode", ["shared", "task", "pooled"])
def test_one_call_a_depth_gives_what_one_call_a_layer_gives(mode: str) -> None:
    """Losses, gradients and averages; with micro-batches and without; layers are called once."""
    backbone = make_backbone("resnet18", normalization=mode, **MODELS["resnet18"])
    network, plain = ordered(backbone, 3), ordered(backbone, 3, batched=False)
    plain.load_state_dict(network.state_dict())
    calls: list[int] = []
    for bank in network.banks():
        if bank.unit in network.pools[0]:
            for number, layer in enumerate(bank.copies):
                layer.register_forward_hook(lambda *_, n=number: calls.append(n))
    batch = make_batch(network.tasks)
    for each in (network, plain):
        each.train()
        each.accumulate_gradients(batch, each.assignment[None])
    assert calls == [0] * len(network.pools[0])
    wanted = gradients(plain)
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(gradient, wanted[name], **CLOSE)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), **CLOSE)
    if mode == "pooled":
        return
    network.zero_grad()
    network.memory_budget = 1
    assert len(network.plan(batch, network.assignment[None]).micro_batches) == 3
    network.accumulate_gradients(batch, network.assignment[None])
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(gradient, wanted[name], **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_shares_of_one_are_a_permutation_of_the_units(name: str) -> None:
    network = ordered(make_backbone(name, normalization="shared", **MODELS[name])).eval()
    (pool,) = network.pools
    order = [*range(1, len(pool)), 0]
    logits = torch.full((2, len(pool), len(pool)), -torch.inf).double()
    logits[:, torch.arange(len(pool)), torch.tensor(order)] = 0
    network.shares[0].get_parameter("logits").data = logits
    path = network.assignment[:, 1].tolist()
    for unit, layer in zip(pool, order, strict=True):
        path[unit] = layer
    inputs = make_batch(network.tasks).inputs[1]
    model = network.extract_path(1, path)
    banks = [network._parts.banks[unit][0] for unit in pool]
    named = {module: name for name, module in network.model.named_modules()}
    names = [named[bank] for bank in banks]
    blocks = dict(model.named_parameters())
    for depth, layer in enumerate(order):  # the plain model's blocks are the layers in that order
        for key, parameter in network.model.get_submodule(
            f"{names[layer]}.copies.{layer}"
        ).named_parameters():
            assert torch.equal(blocks[f"{names[depth]}.{key}"], parameter)
    torch.testing.assert_close(network.predict(1, inputs), model(inputs), **CLOSE)


def test_equal_logits_are_equal_shares() -> None:
    order = SoftOrder(2, 4)
    assert torch.equal(order.all_shares(), torch.full((2, 4, 4), 0.25))
    assert float(order.certainty()) == 0.25
    order.logits.data = torch.randn(2, 4, 4)
    torch.testing.assert_close(order(2).sum(1), torch.ones(2))


def test_a_fixed_order_is_one_layer_at_every_depth() -> None:
    order = FixedOrder(2, 3)
    assert torch.equal(order.all_shares(), torch.eye(3).repeat(2, 1, 1))
    order.set(torch.tensor([[2, 0, 1], [0, 2, 1]]))
    assert order(0).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert order(1).tolist() == [[1, 0, 0], [0, 0, 1]]
    torch.manual_seed(0)
    drawn = set()
    for _ in range(50):
        order.permute()
        assert torch.equal(order.all_shares().sum(1), torch.ones(2, 3))  # each layer once
        assert torch.equal(order.all_shares().sum(2), torch.ones(2, 3))
        drawn.add(tuple(order.all_shares()[0].argmax(1).tolist()))
    assert len(drawn) == 6
    assert float(order.certainty()) == 1


def test_parallel_order_is_full_sharing(tmp_path: Path) -> None:
    weights = []
    for strategy, options in (("soft_ordering", {"order": "parallel"}), ("full_sharing", {})):
        run = Trial(strategy, options).start(tmp_path / strategy)
        run.execute()
        weights.append(sorted((p.sum().item() for p in run.network.parameters()), key=abs))
    torch.testing.assert_close(*map(torch.tensor, weights))


def test_permuted_order_is_drawn_by_the_seed_and_stays(tmp_path: Path) -> None:
    trial, found = Trial("soft_ordering", {"order": "permuted"}), []
    for folder in ("one", "two"):
        run = trial.start(tmp_path / folder)
        before = run.network.get_submodule("shares.0").get_buffer("shares").clone()
        run.execute()
        after = run.network.get_submodule("shares.0").get_buffer("shares")
        assert torch.equal(before, after)
        assert not list(run.network.get_submodule("shares").parameters())
        loaded = trial.load(tmp_path / folder)
        assert torch.equal(loaded.network.get_submodule("shares.0").get_buffer("shares"), after)
        found.append(after)
    assert torch.equal(*found)


def test_layers_are_counted_once_and_a_task_needs_no_other_s() -> None:
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    network = ordered(backbone, 3)
    (pool,) = network.pools
    layers = sum(backbone.units[unit].num_parameters for unit in pool)
    shared = network.bank_parameters(pool[0], 0)
    assert {id(p) for p in shared} == {id(p) for p in network.bank_parameters(pool[1], 2)}
    assert sum(p.numel() for p in shared) == layers
    counts = network.parameter_counts()
    assert counts.trained == counts.deployed == sum(p.numel() for p in network.parameters())
    alone = network.extract(1)
    plain = sum(p.numel() for p in backbone.recipe.create(3).parameters())
    assert sum(p.numel() for p in alone.parameters()) == plain
    assert sum(isinstance(m, MixedLayers) for m in alone.modules()) == len(pool)
    assert not any(isinstance(m, RoutedBatchNorm) for m in alone.modules())


def test_dropout_draws_masks_for_every_layer() -> None:
    network = ordered(make_backbone("vit_tiny_patch16_224", **MODELS["vit_tiny_patch16_224"]),
                      dropout=0.5)  # fmt: skip
    batch = make_batch(network.tasks)
    network.train()
    torch.manual_seed(3)
    one = network.losses(batch, network.assignment[None])
    assert not torch.equal(one, network.losses(batch, network.assignment[None]))
    torch.manual_seed(3)
    assert torch.equal(one, network.losses(batch, network.assignment[None]))
    network.eval()
    inputs = batch.inputs[0]
    assert torch.equal(network.predict(0, inputs), network.predict(0, inputs))


def test_other_units_are_shared_or_own() -> None:
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    own = ordered(backbone, others="own")
    outside = [unit for unit in range(len(backbone.units)) if unit not in own.pools[0]]
    assert own.assignment[outside].tolist() == [[0, 1]] * len(outside)
    assert ordered(backbone).assignment[outside].tolist() == [[0, 0]] * len(outside)
    compare_own = make_batch(own.tasks)
    own.eval()
    for task, inputs in enumerate(compare_own.inputs):
        torch.testing.assert_close(own.extract(task)(inputs), own.predict(task, inputs), **CLOSE)


@pytest.mark.parametrize(
    ("chosen", "units"),
    [
        ("largest", [["layer1.1", "layer1.2"]]),
        ("every", [["layer1.1", "layer1.2"], ["layer2.1", "layer2.2"]]),
        (["layer2.[12]"], [["layer2.1", "layer2.2"]]),
    ],
)
def test_cores(chosen: Any, units: list[list[str]]) -> None:
    backbone = make_backbone("resnet18", args={"layers": (3, 3, 1, 1), "channels": (8, 12, 16, 20)})
    core = SoftOrderingConfig(core=chosen).core
    found = [[backbone.units[n].name for n in pool] for pool in cores(core, backbone)]
    assert found == units


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("largest", "no two units of backbone 'resnet10t' that follow each other have weights"),
        ("layer1", "should name at least two units, found layer1"),
        ("layer9", "unknown unit in strategy.core 'layer9'"),
        (["layer1", "layer2"], "'layer1' and 'layer2' of backbone 'resnet10t' have other weights"),
    ],
)
def test_what_cannot_be_ordered_is_refused(chosen: Any, message: str) -> None:
    with pytest.raises(MtlError, match=message):
        ordered(make_backbone("resnet10t"), core=chosen)


def test_the_figure_shows_the_saved_orders(tmp_path: Path) -> None:
    trial = Trial("soft_ordering", {"order_rate": 30.0})
    run = trial.start(tmp_path / "run")
    run.execute()
    result = Result.load(tmp_path / "run")
    record = RunRecord("ordered", "trial", "trial", 0, tmp_path / "run", 6, "done", result)
    (figure,) = order_figures([record])
    shares = orders(record.checkpoint(), 0)
    network = run.network
    assert isinstance(network, MixtureNetworks)
    order = network.shares[0]
    assert isinstance(order, SoftOrder)
    torch.testing.assert_close(torch.from_numpy(shares).float(), order.all_shares())
    assert abs(shares - 0.5).max() > 0.05
    assert "rows: largest share by depth layer" in figure.alt
    assert "numbered as low, mid" in figure.caption
    assert png(figure.figure).startswith(b"\x89PNG")


def test_the_figure_shows_fixed_orders(tmp_path: Path) -> None:
    run = Trial("soft_ordering", {"order": "permuted"}).start(tmp_path / "run")
    run.execute()
    record = RunRecord(
        "fixed", "trial", "trial", 0, tmp_path / "run", 6, "done", Result.load(tmp_path / "run")
    )
    (figure,) = order_figures([record])
    shares = run.network.get_submodule("shares.0").get_buffer("shares")
    torch.testing.assert_close(torch.from_numpy(orders(record.checkpoint(), 0)).float(), shares)
    assert "numbered as low, mid" in figure.caption


@pytest.mark.long
def test_a_task_s_network_is_exported(tmp_path: Path) -> None:
    trial = Trial("soft_ordering")
    trial.start(tmp_path / "run").execute()
    loaded = trial.load(tmp_path / "run")
    assert export_program(loaded, "rows", tmp_path / "program").batch == "any"
    assert export_onnx(loaded, "sides", tmp_path / "onnx").batch == "any"
    with pytest.raises(MtlError, match="as torch-export or onnx"):
        export_network(loaded, "rows", tmp_path / "weights")


def test_a_weighting_of_gradients_is_refused(tmp_path: Path) -> None:
    config = {"training": {"weighting": {"name": "upgrad"}}}
    trial = Trial("soft_ordering", config=config)
    with pytest.raises(MtlError, match="needs networks whose units are no mixtures"):
        trial.start(tmp_path / "run").execute()


@pytest.mark.parametrize("recipe", [0.1, None])
def test_weight_decay_leaves_orders_alone(recipe: float | None) -> None:
    """Whether the recipe has it or the strategy's own option."""
    strategy = SoftOrdering(SoftOrderingConfig(weight_decay=0.1 if recipe is None else 0.0))
    strategy.recipe = Recipe(TrainingConfig(weight_decay=recipe), 10)
    network = strategy.build(dense_backbone(), binary_suite(2))
    orders = {id(p) for p in network.shares.parameters()}
    assert orders
    decays = {
        id(p): group["weight_decay"]
        for group in strategy.optimizer.inner.param_groups
        for p in group["params"]
    }
    assert {decays[number] for number in orders} == {0.0}
    assert 0.1 in {decay for number, decay in decays.items() if number not in orders}
