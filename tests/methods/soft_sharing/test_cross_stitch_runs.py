"""Cross-stitch networks in whole runs: saved, resumed, taken out, started from others, drawn."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_soft_sharing.figures import mixing_figures, mixing_weights
from mtl_soft_sharing.nddr import Nddr
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.sluice import Sluice
from mtl_soft_sharing.strategy import ColumnStrategy, CrossStitch
from support.cross_stitch import (
    CLOSE,
    MODELS,
    Common,
    features,
    features_suite,
    images_suite,
    networks,
    one_stem,
)
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch
from support.tiny import TinyPlugins, content, start
from torch import Tensor, nn

import mtl_framework
from mtl_framework import LoadedRun, RunRecord, TaskNetworks, TrainingConfig, load_run
from mtl_framework.data import Suite
from mtl_framework.data.batches import Batch
from mtl_framework.export import export_network, export_onnx, export_program
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.support.errors import MtlError

CROSS: dict[str, Any] = {"name": "cross_stitch", "learning_rate": 0.01, "after": "block"}


def plugins() -> TinyPlugins:
    found = TinyPlugins(
        cross_stitch=CrossStitch,
        no_sharing="mtl_baselines.ends:NoSharing",  # type: ignore[arg-type]
    )
    found.register(Common(), "common")
    return found


def run(folder: Path, strategy: Any = CROSS, **options: Any) -> LoadedRun:
    start(folder, plugins(), strategy=strategy, **options).execute()
    return load_run(folder, plugins=plugins())


def record(folder: Path) -> RunRecord:
    result = Result.load(folder)
    return RunRecord("mixed", "tiny", "tiny", 0, folder, 6, "done", result)


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "mixing": "channel"}])
def test_a_resumed_run_is_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    strategy = {**CROSS, **options}
    start(tmp_path / "straight", plugins(), strategy=strategy).execute()
    start(tmp_path / "parts", plugins(), strategy=strategy, iterations=4).execute()
    start(tmp_path / "parts", plugins(), strategy=strategy, resume=True).execute()
    found, wanted = (
        {n: v for n, v in content(tmp_path / folder).items() if "best" not in n}
        for folder in ("parts", "straight")
    )
    assert found == wanted  # the best checkpoint may be from before, with the config of then


def test_columns_learn_to_mix(tmp_path: Path) -> None:
    loaded = run(tmp_path / "run")
    units = loaded.network.get_submodule("mixers").children()
    weights = [unit.get_parameter("weight").detach() for unit in units]
    assert len(weights) == 2
    for weight in weights:
        assert not torch.allclose(weight, torch.tensor([[0.9, 0.1], [0.1, 0.9]]), atol=1e-3)


# -- one task's network ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_what_is_taken_out_predicts_alike(name: str) -> None:
    network = networks(make_backbone(name, **MODELS[name]), images_suite(), "channel").eval()
    check_extracted(network, make_batch(network.tasks))


@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_it_has_the_running_averages_of_its_task(common_input: bool, normalization: str) -> None:
    network = networks(features(normalization), features_suite(common_input))
    one_stem(network)
    batch = make_batch(network.tasks, common_input=common_input)
    network.train()
    network.losses(batch, network.columns)
    check_extracted(network.eval(), batch)


def check_extracted(network: ColumnNetworks, batch: Batch) -> None:
    for task, inputs in enumerate(batch.inputs):
        model = network.extract(task)
        assert not model.training
        torch.testing.assert_close(model(inputs), network.predict(task, inputs), **CLOSE)


def test_what_is_taken_out_holds_no_more_than_it_needs() -> None:
    """All columns up to the last mixture; behind it, the task's own."""
    backbone = make_backbone("resnet18", **MODELS["resnet18"])
    network = networks(backbone, images_suite((2, 3, 5)), after=("layer2",))
    sizes = [unit.num_parameters for unit in backbone.units]
    plain = sum(p.numel() for p in network.extract_path(1, [1] * 4).parameters())
    mixer = sum(p.numel() for p in network.mixers.parameters())
    found = sum(p.numel() for p in network.extract(1).parameters())
    assert found == plain + 2 * (sizes[0] + sizes[1]) + mixer
    assert f"columns=3, parameters={found:,}" in repr(network.extract(1))
    counts = network.parameter_counts()
    assert counts.trained == counts.deployed == sum(p.numel() for p in network.parameters())


def test_columns_that_differ_in_what_they_should_share_are_refused() -> None:
    network = networks(features("task"), features_suite(common_input=True))
    with pytest.raises(MtlError, match=r"the columns differ in stem.1.running_mean of backbone"):
        network.extract(0)


@pytest.mark.long
@pytest.mark.parametrize("suite", ["tiny", "common"])
def test_exported_programs_give_the_same(tmp_path: Path, suite: str) -> None:
    """The exports compare their own outputs with the network's, for several batch sizes."""
    loaded = run(tmp_path / "run", suite={"name": suite}, iterations=2)
    about = export_program(loaded, "rows", tmp_path / "program")
    assert about.batch == "any"
    if suite == "tiny":
        assert export_onnx(loaded, "sides", tmp_path / "onnx").batch == "any"
    with pytest.raises(MtlError, match=r"more than a plain tiny, .* as torch-export or onnx"):
        export_network(loaded, "rows", tmp_path / "weights")


# -- starting from single-task runs ---------------------------------------------------------------


def columns_of(model: Any) -> list[dict[str, Tensor]]:
    units = len(model.backbone.units)
    return [model.extract_path(t, [t] * units).state_dict() for t in range(len(model.tasks))]


def built(folder: Path, strategy: Any, **options: Any) -> nn.Module:
    return start(folder, plugins(), strategy=strategy, **options).network


@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_columns_start_from_the_networks_of_a_run(tmp_path: Path, normalization: str) -> None:
    backbone = {"name": "tiny", "normalization": normalization}
    earlier = run(tmp_path / "earlier", "no_sharing", backbone=backbone)
    strategy = {**CROSS, "start_from": str(tmp_path / "earlier")}
    network = built(tmp_path / "run", strategy, backbone=backbone, seed=5)
    for task, column in enumerate(columns_of(network)):
        wanted = earlier.extract(task).state_dict()
        assert set(column) == set(wanted)
        for name, tensor in column.items():
            assert torch.equal(tensor, wanted[name]), name


def test_columns_start_from_a_run_each(tmp_path: Path) -> None:
    backbone = {"name": "tiny", "shared": []}
    folders = {}
    for seed, task in enumerate(("rows", "sides")):
        folders[task] = str(tmp_path / task)
        run(tmp_path / task, "no_sharing", backbone=backbone, seed=seed, iterations=2)
    strategy = {**CROSS, "start_from": folders}
    network = built(tmp_path / "run", strategy, backbone=backbone)
    pairs = zip(folders.values(), columns_of(network), strict=True)
    for number, (folder, column) in enumerate(pairs):
        earlier = load_run(folder, plugins=plugins())
        for name, tensor in earlier.extract(number).state_dict().items():
            assert torch.equal(tensor, column[name]), name


def test_heads_of_standardised_targets_are_copied_as_they_were_trained(tmp_path: Path) -> None:
    """A network that is taken out gives targets in their units; columns go on as it was trained."""
    images = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0)).numpy()
    splits = {
        name: [(images, 1000 + 50 * factor * images.mean((1, 2, 3)))] * 2
        for name, factor in (("a", 1), ("b", 2))
    }
    suite = Suite.from_arrays(splits, name="sizes")
    options: dict[str, Any] = {
        "backbone": "dkl_convnet", "suite": suite, "iterations": 2, "eval_every": 2,
        "device": "cpu", "progress": False,
    }  # fmt: skip
    mtl_framework.run("no_sharing", output=tmp_path / "earlier", **options)
    strategy = {"name": "cross_stitch", "start_from": str(tmp_path / "earlier"),
                "learning_rate": 1e-12, "mixing_rate": 1.0}  # fmt: skip
    mtl_framework.run(strategy, output=tmp_path / "run", **options)
    trained = [load_run(tmp_path / name, suite=suite).network for name in ("earlier", "run")]
    for task in range(2):
        states = []
        for network in trained:
            assert isinstance(network, TaskNetworks)
            states.append(network.head(task).state_dict())
        wanted, found = states
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4)


def test_earlier_runs_may_be_gone_afterwards(tmp_path: Path) -> None:
    run(tmp_path / "earlier", "no_sharing", iterations=2)
    strategy = {**CROSS, "start_from": str(tmp_path / "earlier")}
    run(tmp_path / "run", strategy, iterations=2)
    (tmp_path / "earlier").rename(tmp_path / "elsewhere")
    load_run(tmp_path / "run", plugins=plugins())
    start(tmp_path / "run", plugins(), strategy=strategy, iterations=3, resume=True).execute()
    with pytest.raises(MtlError, match="there is no run in"):
        start(tmp_path / "new", plugins(), strategy=strategy)
    assert not (tmp_path / "new").exists()


def test_runs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    own: dict[str, Any] = {"name": "tiny", "shared": []}
    folders = {}
    for seed, task in enumerate(("rows", "sides")):
        folders[task] = str(tmp_path / task)
        run(tmp_path / task, "no_sharing", backbone=own, seed=seed, iterations=1)
    wrong: list[tuple[Any, str]] = [
        ({"rows": folders["rows"]}, "should name a folder for each of rows, sides, found rows"),
        (folders, "stem.1.weight is shared by all columns, but differs between tasks"),
    ]
    for given, message in wrong:
        with pytest.raises(MtlError, match=message):
            built(tmp_path / "new", {**CROSS, "start_from": given})


# -- the figure -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mixing", ["scalar", "channel"])
def test_the_figure_shows_the_saved_weights(tmp_path: Path, mixing: str) -> None:
    loaded = run(tmp_path / "run", {**CROSS, "mixing": mixing})
    found = mixing_weights(record(tmp_path / "run").checkpoint())
    assert list(found) == ["low", "high"]
    units = loaded.network.get_submodule("mixers").children()
    for matrix, unit in zip(found.values(), units, strict=True):
        weight = unit.get_parameter("weight").detach()
        weight = weight.mean(2) if mixing == "channel" else weight
        torch.testing.assert_close(torch.from_numpy(matrix).float(), weight)
    (figure,) = mixing_figures([record(tmp_path / "run")])
    assert "4 passes of a batch of one task through one column" in figure.caption
    assert png(figure.figure).startswith(b"\x89PNG")
    assert ("mean over channels" in figure.caption) == (mixing == "channel")


@pytest.mark.parametrize("kind", [CrossStitch, Sluice, Nddr])
def test_weight_decay_leaves_mixtures_alone(kind: type[ColumnStrategy]) -> None:
    strategy = kind()
    strategy.recipe = Recipe(TrainingConfig(weight_decay=0.1), 10)
    network = strategy.build(dense_backbone(), binary_suite(2))
    mixing = {id(p) for p in network.mixers.parameters()}
    decays = {
        id(p): group["weight_decay"]
        for group in strategy.optimizer.inner.param_groups
        for p in group["params"]
    }
    assert {decays[number] for number in mixing} == {0.0}
    assert 0.1 in {decay for number, decay in decays.items() if number not in mixing}
