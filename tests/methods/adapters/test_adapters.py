"""Adapters against plain loops, merged into plain networks, beside a trunk that stays as it is."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mtl_adapters.config import AdaptersConfig
from mtl_adapters.figures import adapter_figures, changes
from mtl_adapters.layers import Parallel, middle_tap
from mtl_adapters.network import AdapterNetworks
from mtl_adapters.sizes import AdapterSizes
from mtl_adapters.strategy import Adapters
from safetensors.torch import load_file
from support.adapter_loops import CLOSE, MODELS, compare, with_adapters
from support.dense_tasks import dense_tasks
from support.makers import make_backbone, make_batch, make_tasks
from torch import nn

from mtl_framework import RunRecord, TaskNetworks, TrainingConfig
from mtl_framework.data import Suite
from mtl_framework.data.objectives import Ordinal
from mtl_framework.export import export_network
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.support.errors import MtlError
from mtl_framework.testing import Trial

LEARNED = {"kind": "low_rank", "rank": 2, "assignment": "learned", "trunk": "frozen"}


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("resnet18", "shared", {"kind": "parallel"}),
        ("resnet18", "task", {"kind": "series", "group_major": False}),
        ("resnet18", "shared", {"kind": "low_rank", "trunk": "frozen", "scale": 2.0}),
        ("resnet18", "shared", {"kind": "norms"}),
        ("resnet18", "shared", {"kind": "low_rank", "norms": "own", "assignment": "shared"}),
        ("convnext_atto", "shared", {"kind": "parallel"}),
        ("convnext_atto", "shared", {"kind": "series", "trunk": "frozen"}),
        ("convnext_atto", "shared", {"kind": "low_rank"}),
        ("vit_tiny_patch16_224", "shared", {"kind": "series"}),
        ("vit_tiny_patch16_224", "shared", {"kind": "low_rank", "trunk": "frozen"}),
    ],
)
def test_every_kind_agrees_with_the_loops(name: str, mode: str, options: dict[str, Any]) -> None:
    network = with_adapters(make_backbone(name, normalization=mode, **MODELS[name]), **options)
    compare(network, make_batch(network.tasks))


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("vit_tiny_patch16_224", "parallel", True),
        ("vit_tiny_patch16_224", "low_rank", False),
        ("resnet18", "parallel", False),
    ],
)
def test_adapters_as_large_as_the_trunk_are_told(name: str, kind: str, told: bool) -> None:
    hints: list[str] = []
    strategy = Adapters(AdaptersConfig.model_validate({"kind": kind, "rank": 1}))
    tasks = make_tasks((2, 3))
    strategy.build(make_backbone(name, **MODELS[name]), Suite("some", tasks)).double()
    run: Any = SimpleNamespace(hint=hints.append, next_batch=lambda: make_batch(tasks))
    next(strategy.optimize(run))
    assert bool(hints) == told
    if told:
        trunk, beside = strategy.sizes.by_unit()
        assert f"have {sum(beside):,} weights, the units' trunk has {sum(trunk):,}" in hints[0]


@pytest.mark.parametrize("kind", ["parallel", "series"])
def test_common_inputs_and_parts_of_a_step_change_nothing(kind: str) -> None:
    """Averages of every task's own, a frozen trunk, of which tasks share rows of a common input."""
    backbone = make_backbone("resnet18", normalization="task", **MODELS["resnet18"])
    network = with_adapters(backbone, 3, kind=kind, trunk="frozen")
    compare(network, make_batch(network.tasks, (4, 6, 4)))
    for name, buffer in network.model.named_buffers():
        if "running" in name and "copies" not in name:
            buffer.copy_(buffer[:1].clone().expand_as(buffer))  # a trunk has one average for all
    batch = make_batch(network.tasks, common_input=True)
    results = []
    for budget, common in ((None, False), (None, True), (1, False)):
        network.zero_grad()
        network.memory_budget = budget
        own = batch if common else make_batch(network.tasks, common_input=True)
        own = type(own)(own.inputs, own.targets, common)
        losses = network.accumulate_gradients(own, network.assignment[None])
        gradients = [p.grad for p in network.adapters()]
        results.append([losses, *(g.clone() for g in gradients if g is not None)])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, **CLOSE)


@pytest.mark.parametrize("kind", ["parallel", "series", "low_rank", "norms"])
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_adapters_of_zero_are_the_trunk_to_the_bit(name: str, kind: str) -> None:
    backbone = make_backbone(name, **MODELS[name])
    suite = Suite("drawn", make_tasks((2, 3)))
    torch.manual_seed(1)
    trunk = TaskNetworks(backbone, suite.tasks, 1).eval()
    torch.manual_seed(1)
    network = Adapters(AdaptersConfig(kind=kind)).build(backbone, suite).eval()
    network.heads.load_state_dict(trunk.heads.state_dict())
    inputs = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        for task in range(2):
            assert torch.equal(network.predict(task, inputs), trunk.predict(task, inputs))


@given(
    k=st.integers(1, 5),
    stride=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_the_middle_tap_is_a_convolution_of_one_pixel(
    k: int, stride: int, groups: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 11, 11, generator=generator, dtype=torch.float64)
    alpha = torch.randn(6, 4 // groups, generator=generator, dtype=torch.float64)
    whole = F.conv2d(x, middle_tap(alpha, (k, k)), None, stride, (k - 1) // 2, 1, groups)
    pixels = F.conv2d(x, alpha[:, :, None, None], None, stride, 0, 1, groups)
    height, width = whole.shape[2:]  # even kernels leave out the last row and column
    torch.testing.assert_close(whole, pixels[:, :, :height, :width])


def test_a_parallel_adapter_drops_its_own_inputs_only() -> None:
    torch.manual_seed(0)
    layer = Parallel(nn.Conv2d(3, 4, 3, padding=1), "normal", dropout=0.5)
    x = torch.randn(2, 3, 6, 6)
    layer.eval()
    torch.testing.assert_close(
        layer(x), layer.layer(x) + F.conv2d(x, layer.alpha[:, :, None, None])
    )
    layer.train()
    assert not torch.equal(layer(x), layer(x))
    torch.manual_seed(3)
    beside = layer(x) - layer.layer(x)
    torch.manual_seed(3)
    wanted = F.conv2d(F.dropout(x, 0.5), layer.alpha[:, :, None, None])
    torch.testing.assert_close(beside, wanted, atol=1e-5, rtol=1e-5)


def test_a_learned_assignment_beside_a_frozen_trunk(tmp_path: Path) -> None:
    """The trunk's bits stay, a task's network is plain and exported, the figure shows what is."""
    trial = Trial("adapters", {**LEARNED, "learning_rate": 0.1, "nes_learning_rate": 0.3})
    run = trial.start(tmp_path / "run")
    network, strategy = run.network, run.strategy
    assert isinstance(network, AdapterNetworks)
    assert isinstance(strategy, Adapters)
    assert strategy.distribution is not None
    trunk = {p: p.detach().clone() for p in network.trunk_parameters()}
    averages = {n: b.clone() for n, b in network.named_buffers() if "running" in n}
    matrices = [p.detach().clone() for p in network.adapters()]
    run.execute()
    assert all(torch.equal(p, before) for p, before in trunk.items())
    assert averages
    assert all(torch.equal(network.get_buffer(n), before) for n, before in averages.items())
    moved = [not torch.equal(p, old) for p, old in zip(network.adapters(), matrices, strict=True)]
    assert any(moved)
    assert strategy.distribution.entropy() < 1.09
    assert torch.equal(strategy.distribution.mode(), network.assignment)
    loaded = trial.load(tmp_path / "run")
    alone, plain = loaded.extract(0), loaded.backbone.recipe.create(3)
    assert type(alone) is type(plain)
    assert {n: t.shape for n, t in alone.state_dict().items()} == {
        n: t.shape for n, t in plain.state_dict().items()
    }
    export_network(loaded, "rows", tmp_path / "weights")
    (written,) = (tmp_path / "weights").glob("*.safetensors")
    plain.load_state_dict(load_file(written))
    inputs = torch.randn(3, 1, 6, 6)
    assert torch.equal(plain.eval()(inputs), alone(inputs))
    record = RunRecord(
        "low rank", "trial", "trial", 0, tmp_path / "run", 6, "done", Result.load(tmp_path / "run")
    )
    (figure,) = adapter_figures([record])
    shown = changes(record, record.checkpoint()["sizes"])
    assert shown.shape == (len(network.backbone.units), 3)
    assert shown.max() > 0.01
    assert "low: change from" in figure.alt
    assert png(figure.figure).startswith(b"\x89PNG")


def test_sizes_are_relative_to_units_as_they_are_without_adapters() -> None:
    """A unit of norms alone, which are each adapter's own, has as many parameters without."""
    backbone = make_backbone("convnext_atto", normalization="task", **MODELS["convnext_atto"])
    sizes = AdapterSizes(with_adapters(backbone, 3, kind="parallel")).state_dict()
    assert sizes["plain"] == [unit.num_parameters for unit in backbone.units]
    norms = [n for n, trunk in enumerate(sizes["trunk"]) if trunk == 0]
    assert norms
    for unit in norms:
        assert sizes["beside"][unit] == sizes["plain"][unit]
    shares = np.array(sizes["beside"]) / np.array(sizes["plain"])
    assert shares.max() <= 1.5


def test_parameters_are_those_of_distinct_pairs() -> None:
    backbone = make_backbone("vit_tiny_patch16_224", **MODELS["vit_tiny_patch16_224"])
    network = with_adapters(backbone, 3, kind="low_rank", rank=3, trunk="frozen", assignment={
        "matrix": [[0, 0, 1]] * len(backbone.units)})  # fmt: skip
    linear = [(24, 72), (24, 24), (24, 96), (96, 24)]  # qkv, proj, fc1, fc2
    pairs = len(backbone.units) * 2 * sum(3 * (one + two) for one, two in linear)
    heads = sum(p.numel() for p in network.heads.parameters())
    assert sum(p.numel() for p in network.adapters()) == pairs
    assert network.parameter_counts().trained == pairs + heads
    assert sum(p.numel() for p in network.parameters()) == network.parameter_counts().deployed


def test_units_without_anything_of_their_own_have_one_weight() -> None:
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    options: dict[str, Any] = {
        "layers": "layer2.*.conv1",
        "kind": "low_rank",
        "assignment": "learned",
    }
    network = with_adapters(backbone, 3, **options)
    assert network.weights_per_unit == (1, 3, 1, 1)
    compare(network, make_batch(network.tasks))


def test_a_trunk_is_taken_from_an_earlier_run(tmp_path: Path) -> None:
    Trial("full_sharing").start(tmp_path / "full").execute()
    Trial("no_sharing").start(tmp_path / "none").execute()
    whole = Trial("full_sharing").load(tmp_path / "full")
    options = {"start_from": str(tmp_path / "full")}
    run = Trial("adapters", options).start(tmp_path / "run")
    inputs = whole.suite.tasks[1].test.inputs
    assert isinstance(inputs, torch.Tensor)
    network = run.network.eval()
    assert isinstance(network, AdapterNetworks)
    assert network.frozen
    ours, theirs = network.extract(1).state_dict(), whole.extract(0).state_dict()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours if not n.startswith("fc."))
    bad = Trial("adapters", {"start_from": str(tmp_path / "none")})
    with pytest.raises(MtlError, match=r"start_task should say whose .* differs between its tasks"):
        bad.start(tmp_path / "bad")
    named = Trial("adapters", {"start_from": str(tmp_path / "none"), "start_task": "sides"})
    named.start(tmp_path / "named")
    wrong = Trial("adapters", {"start_from": str(tmp_path / "none"), "start_task": "side"})
    with pytest.raises(MtlError, match="has no task 'side', it has rows, sides, corners"):
        wrong.start(tmp_path / "wrong")


def test_a_trunk_is_taken_from_networks_for_maps_and_for_classes() -> None:
    kinds = ("normals", "segmentation", "count", "levels")
    levels = dataclasses.replace(dense_tasks(("count",))[0], name="levels", objective=Ordinal(3))
    suite = Suite("maps", [*dense_tasks(kinds[:3]), levels])
    backbone = make_backbone("resnet18", size=64, in_chans=3, **MODELS["resnet18"])
    torch.manual_seed(0)
    theirs = TaskNetworks(backbone, suite.tasks, 1)
    run: Any = SimpleNamespace(
        suite=SimpleNamespace(task_names=list(kinds)), backbone=backbone, network=theirs,
    )  # fmt: skip
    torch.manual_seed(1)
    for task in (None, *kinds):
        strategy = Adapters(AdaptersConfig(kind="parallel"))
        network = strategy.build(backbone, suite)
        assert isinstance(network, AdapterNetworks)
        network.load_trunk("there", task, lambda folder: run)
        ours, plain = network.extract(2).state_dict(), theirs.extract(2).state_dict()
        assert any(n.startswith("layer4") for n in plain)
        assert all(torch.equal(ours[n], plain[n]) for n in plain if not n.startswith("fc."))


@pytest.mark.parametrize("start_task", [None, "sides"])
@pytest.mark.parametrize("strategy", ["cross_stitch", "sluice"])
def test_no_trunk_is_made_of_what_mixes(
    strategy: str, start_task: str | None, tmp_path: Path
) -> None:
    Trial(strategy).start(tmp_path / "mixed").execute()
    trial = Trial("adapters", {"start_from": str(tmp_path / "mixed"), "start_task": start_task})
    with pytest.raises(MtlError, match=r"networks of .* are no plain models of trial, as a trunk"):
        trial.start(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "norms", "norms": "trunk"}, "kind: norms should have norms: own"),
        ({"kind": "series", "dropout": 0.5}, "dropout should be 0 with kind: series"),
        ({"start_task": "a"}, "start_task should come with start_from"),
        ({"weights_per_unit": 2}, "weights_per_unit should be left out unless"),
        ({"layers": "conv9"}, "unknown layer in strategy.layers 'conv9'"),
        ({"kind": "low_rank", "rank": 64}, "strategy.rank should be at most 8"),
        ({"assignment": "learned", "p_min": 0.6}, "strategy.p_min should be below 1 / weights"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    with pytest.raises((MtlError, ValueError), match=message):
        with_adapters(backbone, **options)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("resnet18", {"norm_layer": "groupnorm1"}, "has no bias and no batch norm behind it"),
        ("beit_base_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}, "is not called"),
    ],
)
def test_series_adapters_that_cannot_be_merged_are_refused(
    name: str, args: dict[str, Any], message: str
) -> None:
    small = MODELS.get(name, {"args": {}})["args"]
    backbone = make_backbone(name, args={**small, **args})
    with pytest.raises(MtlError, match=message):
        with_adapters(backbone, kind="series")


@pytest.mark.parametrize(
    ("options", "training", "wanted"),
    [
        ({"weight_decay": 0.1}, None, (0.1, 0.1)),
        ({"weight_decay": 0.1, "adapter_decay": 0.0}, None, (0.1, 0.0)),
        ({"weight_decay": 0.1}, 0.3, (0.3, 0.3)),
        ({"adapter_decay": 0.2}, 0.3, (0.3, 0.2)),
    ],
)
def test_adapters_decay_as_other_weights_unless_told(
    options: dict[str, Any], training: float | None, wanted: tuple[float, float]
) -> None:
    strategy = Adapters(AdaptersConfig(kind="low_rank", rank=1, trunk="trained", **options))
    strategy.recipe = Recipe(TrainingConfig(weight_decay=training), 10)
    network = strategy.build(
        make_backbone("resnet18", **MODELS["resnet18"]), Suite("some", make_tasks((2, 3)))
    )
    adapters = {id(p) for p in network.adapters()}
    decays: dict[bool, set[float]] = {True: set(), False: set()}
    for group in strategy.optimizer.inner.param_groups:
        for p in group["params"]:
            decays[id(p) in adapters].add(group["weight_decay"])
    assert decays[True] == {wanted[1]}
    assert max(decays[False]) == wanted[0]  # norms and biases may have none
