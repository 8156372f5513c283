"""Runs with maps: training, resuming, predictions as files, extraction and programs."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from support.command import status
from support.dense_tasks import dense_tasks

import mtl_framework
from mtl_framework import RunRecord
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.preprocessing import Preprocessing
from mtl_framework.export import (
    export_all,
    export_network,
    export_onnx,
    export_program,
    load_bundle,
    load_network,
)
from mtl_framework.export.about import _digest
from mtl_framework.export.program import trace
from mtl_framework.networks.result import Result
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs import image_predictions
from mtl_framework.support.errors import MtlError
from mtl_framework.support.yamls import dump_yaml

SETTINGS: dict[str, Any] = {
    "strategy": {"name": "lws", "nes_samples": 2},
    "suite": {"name": "scenes", "train": 8, "validation": 8, "test": 8},
    "backbone": {
        "name": "convnext_atto",
        "args": {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 20]},
    },
    "heads": {"all": {"name": "fpn", "width": 8}, "depth": {"name": "segformer", "width": 8}},
    "batch_size": 2,
    "iterations": 3,
    "eval_every": 3,
    "log_every": 1,
}


class StopAfter:
    """Interrupts a run after a step."""

    @mtl_framework.hookimpl
    def mtl_step(self, run: Any, step: Any) -> None:
        if run.iteration == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "run"
    mtl_framework.run(config=SETTINGS, output=place, progress=False)
    return place


def test_a_run_ends_with_metrics_of_maps_and_of_classes(folder: Path) -> None:
    result: Any = mtl_framework.load_run(folder)
    assert [type(head).__name__ for head in result.network.heads] == ["MapHead"] * 4 + ["Linear"]
    decoders = [type(head.decoder).__name__ for head in list(result.network.heads)[:4]]
    assert decoders == ["FPNDecoder", "SegFormerDecoder", "FPNDecoder", "FPNDecoder"]
    metrics = json.loads((folder / "result.json").read_text())["test"]["metrics"]
    assert {"mIoU %", "pixel accuracy %"} <= set(metrics["segmentation"])
    assert {"RMSE", "δ < 1.25 %"} <= set(metrics["depth"])
    assert {"median angle °", "within 11.25° %"} <= set(metrics["normals"])
    assert {"max F %"} <= set(metrics["edges"])


def test_an_interrupted_run_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    plugins = Plugins.load()
    plugins.register(StopAfter(), "stop")
    with pytest.raises(KeyboardInterrupt):
        mtl_framework.run(config=SETTINGS, output=tmp_path / "run", progress=False, plugins=plugins)
    mtl_framework.run(output=tmp_path / "run", resume=True, progress=False)
    states = [
        safetensors.torch.load_file(next((place / "checkpoint").glob("last-00000003*.safetensors")))
        for place in (folder, tmp_path / "run")
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        if name.startswith("/generators/python"):  # the process has drawn
            continue
        assert torch.equal(value, states[1][name]), name


@pytest.mark.long
def test_predictions_are_written_and_equal_those_of_python(folder: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "in" / f"{number}.png")
    loaded = mtl_framework.load_run(folder)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2)
    for task in ("segmentation", "depth", "normals", "edges"):
        out = tmp_path / task
        arguments = ("predict", folder, tmp_path / "in", "--task", task, "--output", out)
        assert status(*arguments) == 0
        values = np.stack([np.load(out / f"{n}.npy") for n in range(2)])
        predicted = loaded.predict(task, inputs)
        objective: Any = loaded.suite.tasks[loaded.suite.index(task)].objective
        np.testing.assert_allclose(values, objective.pictures(predicted).numpy(), atol=1e-5)
        with Image.open(out / "0.png") as picture:
            assert picture.size == (64, 64)
        assert status(*arguments) == 2  # the files are there already
    assert status("predict", folder, tmp_path / "in", "--task", "count", "--output", tmp_path) == 2


@pytest.mark.parametrize("made_before", [False, True])
def test_no_map_is_left_behind_where_a_later_image_cannot_be_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_before: bool
) -> None:
    monkeypatch.setattr(image_predictions, "CHUNK", 1)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "1.png").write_text("no image")
    out = tmp_path / "out"
    if made_before:
        out.mkdir()
    arguments = ("predict", folder, tmp_path / "in", "--task", "edges", "--output", out)
    assert status(*arguments) == 2
    assert out.is_dir() == made_before
    assert not made_before or not list(out.iterdir())
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "1.png")
    assert status(*arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0.npy", "0.png", "1.npy", "1.png"]


def test_maps_of_several_tasks_lie_in_a_folder_each_or_nowhere(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "1.png").write_text("no image")
    out = tmp_path / "new" / "out"
    command = ("predict", folder, tmp_path / "in", "--all-tasks", "--json", "--output", out)
    assert status(*command) == 2
    assert not out.parent.exists()
    capsys.readouterr()
    assert status(*command, "--skip-bad") == 0
    shown = capsys.readouterr()
    rows = {row["task"]: row for row in json.loads(shown.out)}
    assert list(rows) == ["segmentation", "depth", "normals", "edges", "count"]
    assert all(Path(row["image"]).name == "0.png" for row in rows.values())
    for task in ("segmentation", "depth", "normals", "edges"):
        assert rows[task]["map"] == str(out / task / "0.npy")
        assert sorted(path.name for path in (out / task).iterdir()) == ["0.npy", "0.png"]
    assert "map" not in rows["count"]
    assert "left out: " in shown.err
    assert "1.png" in shown.err
    assert status(*command, "--skip-bad") == 2  # the files are there already


def test_a_run_keeps_maps_of_a_few_test_images_for_reports(folder: Path) -> None:
    config = mtl_framework.load_run(folder).config
    record = RunRecord("lws", "scenes", "convnext_atto", config.seed, folder, 3, "done")
    record = dataclasses.replace(record, result=Result.load(folder))
    suite, loaded = Plugins.load().suite("scenes")(train=8, validation=8, test=8), None
    for select in ("last", "best"):
        maps = record.maps(select)
        assert list(maps) == ["segmentation", "depth", "normals", "edges"]
        loaded = mtl_framework.load_run(folder, which=select)
        for name, found in maps.items():
            task = suite.tasks[suite.index(name)]
            assert found.rows == (1, 4, 6)
            inputs = task.test.inputs
            assert isinstance(inputs, torch.Tensor)
            images = inputs[list(found.rows)]
            assert torch.equal(found.inputs, images)
            objective: Any = task.objective
            wanted = objective.pictures(loaded.predict(name, images))
            wanted = wanted if wanted.ndim == 4 else wanted[:, None]
            torch.testing.assert_close(found.predictions, wanted.float(), rtol=1e-4, atol=1e-5)
            assert torch.equal(found.known, objective.known(task.test.targets[list(found.rows)]))


def test_networks_on_their_own_equal_predictions(folder: Path, tmp_path: Path) -> None:
    loaded = mtl_framework.load_run(folder)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    for number, task in enumerate(loaded.suite.task_names):
        alone = loaded.extract(task)(loaded.preprocessings[number](images))
        torch.testing.assert_close(alone, loaded.predict(task, images), rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_exported_weights_and_programs_equal_predictions(folder: Path, tmp_path: Path) -> None:
    loaded = mtl_framework.load_run(folder)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    export_all(loaded, tmp_path / "all")
    bundle = load_bundle(tmp_path / "all")
    with torch.no_grad():
        for number, task in enumerate(loaded.suite.task_names):
            export_network(loaded, task, tmp_path / task)
            prepared = loaded.preprocessings[number](images)
            wanted = loaded.predict(task, images)
            for alone in (load_network(tmp_path / task), bundle.network(task)):
                torch.testing.assert_close(alone(prepared), wanted, rtol=1e-4, atol=1e-4)
        larger = torch.rand(1, 3, 101, 70)
        wanted = loaded.extract("normals")(larger)
        assert export_program(loaded, "normals", tmp_path).size == (64, 8192)
        program = torch.export.load(tmp_path / "model.pt2").module()
        torch.testing.assert_close(program(larger), wanted, rtol=1e-3, atol=1e-4)
    about = json.loads((tmp_path / "depth" / "model.json").read_text())
    assert about["head"]["name"] == "segformer"
    assert len(about["head"]["maps"]) == 4
    for change, reason in (
        ({"name": "fpn"}, "is damaged or not an export"),
        ({"options": {"width": 0}}, "is damaged or not an export"),
        ({"objective": {"kind": "Dept"}}, "no objective 'Dept'"),
    ):
        plain = {key: value for key, value in about.items() if key != "sha256"}
        plain["head"] = {**about["head"], **change}
        digest = _digest(plain)
        (tmp_path / "depth" / "model.json").write_text(json.dumps({**plain, "sha256": digest}))
        with pytest.raises(MtlError, match=reason):
            load_network(tmp_path / "depth")


@pytest.mark.long
def test_onnx_takes_images_of_any_size(folder: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    loaded = mtl_framework.load_run(folder)
    assert export_onnx(loaded, "depth", tmp_path).size == (64, 8192)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for height, width in ((64, 64), (96, 131)):
        images = torch.rand(2, 3, height, width)
        with torch.no_grad():
            wanted = loaded.extract("depth")(images)
        (found,) = session.run(None, {"inputs": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-3, atol=1e-4)


def test_networks_with_position_embeddings_say_why_they_take_one_size() -> None:
    args = {"depth": 2, "embed_dim": 24, "num_heads": 2}
    backbone = build_backbone(BackboneConfig(name="vit_tiny_patch16_224", args=args), 3, (64, 64))
    tasks = dense_tasks(["segmentation"])
    network = TaskNetworks(backbone, tasks, 1).extract(0)
    traced = trace(network, Preprocessing((3, 64, 64)), "vit_tiny_patch16_224", sizes=True)
    assert traced.batch == "any"
    assert "images have to be 64x64: vit_tiny_patch16_224 takes no others (Input" in str(
        traced.size
    )


def test_heads_that_do_not_fit_are_refused_in_a_line(tmp_path: Path) -> None:
    for heads, reason in (
        ({"depht": "fpn"}, "did you mean 'depth'"),
        ({"count": "fpn"}, "task 'count' has none"),
        ({"depth": "fpm"}, "did you mean 'fpn'"),
        ({"all": {"name": "fpn", "widht": 3}}, "did you mean 'heads.all.width'"),
        ({"all": {"name": "aspp", "rates": [0]}}, "heads.all.rates"),
    ):
        config = {**SETTINGS, "heads": heads}
        with pytest.raises(MtlError, match=reason):
            mtl_framework.run(config=config, output=tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"strategy": "no_sharing", "task_backbones": {"count": "resnet18"}},
         "'segmentation' has maps, whose heads read feature maps of the one backbone"),
        ({"strategy": "pta"}, "'segmentation' has maps; several decoders of a task are linear"),
        ({"strategy": "muir"}, "'segmentation' has maps, and each task here has a whole network"),
    ],
    ids=["task_backbones", "pta", "muir"],
)  # fmt: skip
def test_what_takes_no_maps_says_why(
    change: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml({**SETTINGS, **change}))
    assert status("run", "--config", file, "--output", tmp_path / "run") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: task ")
    assert reason in error
    assert not (tmp_path / "run").exists()


def test_a_run_with_an_auxiliary_head_is_saved_and_exported_without_it(tmp_path: Path) -> None:
    extra = {"all": {"name": "fcn", "width": 4}, "depth": {"name": "linear", "loss_weight": 0.1}}
    config = {**SETTINGS, "strategy": "full_sharing", "auxiliary_heads": extra, "iterations": 1}
    result = mtl_framework.run(config=config, output=tmp_path / "run", progress=False, eval_every=1)
    loaded: Any = mtl_framework.load_run(tmp_path / "run")
    heads = loaded.network.heads
    assert [head.loss_weight for head in list(heads)[:4]] == [0.4, 0.1, 0.4, 0.4]
    extra_numbers = sum(p.numel() for head in list(heads)[:4] for p in head.auxiliary.parameters())
    assert result.parameters.trained == result.parameters.deployed + extra_numbers
    export_network(loaded, "normals", tmp_path / "normals")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    alone = load_network(tmp_path / "normals")
    assert not any("auxiliary" in key for key in alone.state_dict())
    prepared = loaded.preprocessings[2](images)
    torch.testing.assert_close(alone(prepared), loaded.predict("normals", images))
    for given, reason in (
        ({"count": "fcn"}, "auxiliary_heads.count gives maps, and task 'count' has none"),
        ({"all": {"name": "fcn", "loss_weight": 0}}, "loss_weight should be a number above 0"),
        ({"detph": "fcn"}, "did you mean 'depth'"),
    ):
        with pytest.raises(MtlError, match=reason):
            mtl_framework.run(
                config={**config, "auxiliary_heads": given}, output=tmp_path / "no", progress=False
            )


@pytest.mark.long
@pytest.mark.parametrize(
    "strategy",
    [
        "adapters", "cross_stitch", "full_sharing", "lws", "nddr", "no_sharing", "recon", "roaming",
        "routing_networks", "sluice", "soft_ordering", "task_grouping",
    ],
)  # fmt: skip
def test_strategies_take_maps(strategy: str, tmp_path: Path) -> None:
    args: dict[str, Any] = {"layers": [1, 1, 1, 1], "channels": [8, 12, 16, 20]}
    backbone: dict[str, Any] = {"name": "resnet18", "args": args}
    if strategy == "soft_ordering":  # which needs units of equal shapes
        args = {"depth": 4, "embed_dim": 48, "num_heads": 3}
        backbone = {"name": "vit_tiny_patch16_224", "args": args}
    config = {**SETTINGS, "strategy": strategy, "backbone": backbone, "iterations": 2}
    config |= {"auxiliary_heads": {"all": "linear"}, "heads": {"all": {"name": "fpn", "width": 8}}}
    config["suite"] = {**SETTINGS["suite"], "tasks": ["segmentation", "depth", "normals"]}
    mtl_framework.run(config=config, output=tmp_path / "run", progress=False)
    loaded = mtl_framework.load_run(tmp_path / "run")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    for number, task in enumerate(("segmentation", "depth", "normals")):
        alone = loaded.extract(task)(loaded.preprocessings[number](images))
        torch.testing.assert_close(alone, loaded.predict(task, images), rtol=1e-4, atol=1e-4)
