"""PASCAL-Context in the layout of multi-task frameworks, with small files in the real formats."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from mtl_suites.pascal_context import pascal_context
from PIL import Image

from mtl_framework.data import Segmentation
from mtl_framework.support.errors import MtlError

RNG = np.random.default_rng(0)
NAMES = {"train": [f"2008_{n:06d}" for n in range(6)], "val": ["2010_000001", "2010_000002"]}
SIZE = (8, 10)


def structures(entries: list[dict[str, Any]]) -> np.ndarray:
    """MATLAB's array of structures, as scipy writes one."""
    dtype = [(key, object) for key in entries[0]]
    array = np.zeros((1, len(entries)), dtype=dtype)
    for n, entry in enumerate(entries):
        for key, value in entry.items():
            array[0, n][key] = value
    return array


def mask(rows: slice) -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[rows] = 1
    return found


def parts_file(path: Path, person: bool) -> None:
    parts = structures(
        [
            {"part_name": "hair", "mask": mask(slice(0, 2))},
            {"part_name": "torso", "mask": mask(slice(2, 5))},
            {"part_name": "lfoot", "mask": mask(slice(7, 8))},
        ]
    )
    objects = [{"class": "dog", "class_ind": 12, "mask": mask(slice(0, 8)), "parts": np.array([])}]
    if person:
        objects.append(
            {"class": "person", "class_ind": 15, "mask": mask(slice(0, 8)), "parts": parts}
        )
    scipy.io.savemat(path, {"anno": {"imname": path.stem, "objects": structures(objects)}})


def make(root: Path) -> Path:
    folders = (
        "JPEGImages", "ImageSets/Context", "semseg/VOC12", "semseg/pascal-context", "human_parts",
        "sal_distill", "normals_distill", "pascal-context/trainval",
    )  # fmt: skip
    for folder in folders:
        (root / folder).mkdir(parents=True)
    for split, names in NAMES.items():
        (root / "ImageSets" / "Context" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for n, name in enumerate(names):
            picture = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(picture).save(root / "JPEGImages" / f"{name}.jpg")
            classes = RNG.integers(0, 21, SIZE, dtype=np.uint8)
            classes[0, 0] = 255
            where = "VOC12" if n % 2 == 0 else "pascal-context"
            Image.fromarray(classes).save(root / "semseg" / where / f"{name}.png")
            parts_file(root / "human_parts" / f"{name}.mat", person=n % 2 == 0)
            salient = np.repeat(np.array([[0], [127], [128], [255]], np.uint8), 2, 0)
            Image.fromarray(np.repeat(salient, 10, 1)).save(root / "sal_distill" / f"{name}.png")
            normals = np.full((*SIZE, 3), (128, 128, 255), np.uint8)
            Image.fromarray(normals).save(root / "normals_distill" / f"{name}.png")
            labels = np.full(SIZE, 427, np.uint16)
            labels[:, 4:] = 2
            place = root / "pascal-context" / "trainval" / f"{name}.mat"
            scipy.io.savemat(place, {"LabelMap": labels})
    return root


def test_five_tasks_are_read_as_the_files_hold_them(tmp_path: Path) -> None:
    make(tmp_path / "PASCALContext")
    suite = pascal_context(data_root=str(tmp_path), size=SIZE, validation_share=0.5)
    assert suite.task_names == ("segmentation", "human_parts", "saliency", "normals", "edges")
    tests = {task.name: task.test for task in suite.tasks}
    assert [len(x) for x in suite.tasks[0].splits().values()] == [3, 3, 2]
    name = NAMES["val"][0]
    with Image.open(tmp_path / "PASCALContext" / "semseg" / "VOC12" / f"{name}.png") as picture:
        assert torch.equal(tests["segmentation"].targets[0], torch.tensor(np.asarray(picture)))
    rows = [1, 1, 2, 2, 2, 0, 0, 6]
    assert tests["human_parts"].targets[0][:, 3].tolist() == rows
    labelled = tests["human_parts"].labelled
    assert labelled is not None
    assert labelled.tolist() == [True, False]  # an image without persons has no label
    assert tests["saliency"].targets[0][:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert tests["edges"].targets[0].nonzero()[:, 1].unique().tolist() == [3]
    known = suite.tasks[3].objective.known(tests["normals"].targets)  # type: ignore[attr-defined]
    assert bool(known.all())
    assert any("counts everywhere" in note for note in suite.notes)
    parts = suite.tasks[1].objective
    assert isinstance(parts, Segmentation)
    assert parts.class_names[0] == "background"


def test_normals_count_on_the_classes_that_the_files_name(tmp_path: Path) -> None:
    root = make(tmp_path / "PASCALContext")
    (root / "json").mkdir()
    (root / "json" / "nyu_classes.json").write_text(json.dumps(["wall", "unknown"]))
    context = {"wall": 2, "unknown": 1, "tvmonitor": 9}
    (root / "json" / "context_classes.json").write_text(json.dumps(context))
    suite = pascal_context(data_root=str(tmp_path), tasks=("normals",), size=SIZE)
    (task,) = suite.tasks
    known = task.objective.known(task.test.targets)  # type: ignore[attr-defined]
    assert known[0, 0].tolist() == [False] * 4 + [True] * 6
    assert not suite.notes
    smaller = pascal_context(data_root=str(tmp_path), tasks=("edges", "normals"), size=(4, 5))
    assert smaller.task_names == ("edges", "normals")
    assert smaller.tasks[1].test.targets.shape == (2, 3, 4, 5)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    def refused(match: str, **options: Any) -> None:
        with pytest.raises(MtlError, match=match):
            pascal_context(data_root=str(tmp_path), size=SIZE, **options)

    refused("there is no folder .*PASCALContext: suite 'pascal_context' needs JPEGImages")
    root = make(tmp_path / "PASCALContext")
    refused("tasks should be different ones", tasks=("edges", "edges"))
    (root / "sal_distill" / "2008_000003.png").unlink()
    refused("there is no .*sal_distill/2008_000003.png, which .*train.txt names; .* holds 2008")
    scipy.io.savemat(root / "pascal-context" / "trainval" / "2010_000002.mat", {"other": 1})
    refused("2010_000002.mat should hold LabelMap", tasks=("edges",))
    for n in (0, 2, 4):
        parts_file(root / "human_parts" / f"2008_{n:06d}.mat", person=False)
    refused("'human_parts' has no map of any image of the", tasks=("human_parts",))
    (root / "human_parts" / "2008_000000.mat").write_bytes(b"no matlab")
    refused("2008_000000.mat cannot be read as a MATLAB file", tasks=("human_parts",))
    shutil.rmtree(root / "ImageSets")
    refused("train.txt, the names of the train images, cannot be read", tasks=("edges",))
