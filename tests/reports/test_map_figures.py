"""Test images with maps in reports: of every strategy on the same images, errors by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.dense_tasks import dense_tasks
from support.makers import make_backbone
from support.synthetic_runs import make_run
from torch import Tensor

from mtl_framework.data import BinaryMap, Depth, MapRegression, Normals, Segmentation, Suite
from mtl_framework.data.images import RAW
from mtl_framework.data.map_pictures import picture
from mtl_framework.data.objectives.maps.base import Drawing
from mtl_framework.networks.map_samples import MapSamples, map_samples
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.reports.map_figures import map_figures
from mtl_framework.runs.checkpoint import save_state
from mtl_framework.runs.records import RunRecord, make_groups
from mtl_framework.support.errors import MtlError


def samples(drawing: Drawing, targets: Tensor, predictions: Tensor, image: int = 0) -> MapSamples:
    """One image of 2 x 2 pixels, of which the last has no label."""
    known = torch.tensor([[[True, True], [True, False]]])
    inputs = torch.full((1, 3, 2, 2), image, dtype=torch.uint8)
    return MapSamples(drawing, ("a", "b"), (7,), inputs, targets, known, predictions)


def record(folder: Path, strategy: str, seed: int, tasks: dict[str, MapSamples]) -> RunRecord:
    made = make_run(folder / f"{strategy}{seed}", strategy, seed)
    plain = {name: found.to_plain() for name, found in tasks.items()}
    save_state(made.directory / "maps-last", {"iteration": 400, "tasks": plain})
    return made


def test_errors_at_pixels_by_hand() -> None:
    classes = samples("classes", torch.tensor([[[[0.0, 1], [1, 0]]]]), torch.ones(1, 1, 2, 2))
    assert classes.errors().tolist() == [[[1, 0], [0, 0]]]
    depth = samples("values", torch.tensor([[[[2.0, 3], [4, 0]]]]), torch.full((1, 1, 2, 2), 2.5))
    assert depth.errors().tolist() == [[[0.5, 0.5], [1.5, 0]]]
    true = torch.zeros(1, 3, 2, 2)
    true[:, 2] = 2.0  # of any length
    given = torch.zeros(1, 3, 2, 2)
    given[0, 0, 0, 0] = 1
    given[0, 2, 0, 1] = 1
    given[0, :, 1, 0] = torch.tensor([1.0, 0, 1])
    normals = samples("directions", true, given)
    np.testing.assert_allclose(normals.errors().numpy(), [[[90, 0], [45, 0]]], atol=1e-4)


def test_strategies_are_drawn_on_the_same_images(tmp_path: Path) -> None:
    true = torch.tensor([[[[2.0, 3], [4, 0]]]])
    good = {"digits": samples("values", true, true + 0.25)}
    bad = {"digits": samples("values", true, true + 2)}
    other = {"digits": samples("values", true, true + 9, image=50)}
    records = [
        record(tmp_path, "good", 0, good),
        record(tmp_path, "bad", 0, bad),
        record(tmp_path, "other images", 0, other),
        make_run(tmp_path / "old", "from before", 0),
    ]
    (figure,) = map_figures(make_groups(records)[0], "last")
    assert figure.name == "maps-digits"
    assert "mean error in them: good 0.25; bad 2." in figure.alt
    labels = [axes.get_ylabel() for axes in figure.figure.axes if axes.get_ylabel()]
    assert labels == ["good", "bad"]
    assert "other images" not in figure.alt


def test_files_that_are_no_maps_are_named(tmp_path: Path) -> None:
    maps = samples("values", torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    made = record(tmp_path, "a", 0, {"digits": maps})
    assert made.maps()["digits"].rows == (7,)
    for kind, drawing in (("depth", "values"), ("normals", "directions"), ("own", "values")):
        old: dict[str, Any] = {**maps.to_plain(), "kind": kind}  # as before drawings were named
        del old["drawing"]
        assert MapSamples.from_plain(old).drawing == drawing
    with pytest.raises(MtlError, match="there are no maps of 'pictures'"):
        MapSamples.from_plain({**maps.to_plain(), "drawing": "pictures"})
    torn = {**maps.to_plain(), "predictions": torch.ones(1, 1, 3, 2)}
    save_state(made.directory / "maps-last", {"tasks": {"digits": torn}})
    with pytest.raises(MtlError, match=r"maps-last\.json is damaged: .*different sizes"):
        made.maps()
    save_state(made.directory / "maps-last", {"tasks": 3})
    with pytest.raises(MtlError, match=r"maps-last\.json is damaged: it names no tasks"):
        made.maps()


class Own(Segmentation):
    """A plugin's classes, which nothing but its base class says are drawn as such."""

    kind = "own"


def test_an_objective_says_how_its_maps_are_drawn() -> None:
    own, plain = Own(3), Segmentation(3)
    numbers = torch.tensor([[0, 1], [2, 255]])
    assert np.array_equal(picture(own, numbers), picture(plain, numbers))
    assert [kind.drawing for kind in (BinaryMap, Depth, Normals, MapRegression, Own)] == [
        "shares", "values", "directions", "values", "classes",
    ]  # fmt: skip
    task = dense_tasks(["segmentation"])[0]
    task = replace(task, objective=Own(4))
    backbone = make_backbone("resnet18", 64, args={"channels": (8, 8, 8, 8)})
    network = TaskNetworks(backbone, [task], 1)
    found = map_samples(network, Suite("own", [task], False), torch.device("cpu"), [RAW])
    assert found["segmentation"].drawing == "classes"
    assert found["segmentation"].classes == ("0", "1", "2", "3")
