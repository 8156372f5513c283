"""Suites of images and maps in files, in the formats in which they are found."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mtl_suites import map_stack
from mtl_suites.dense_files import MapKind
from mtl_suites.dense_folders import cityscapes, dense_folders, nyuv2
from PIL import Image

from mtl_framework.data import Depth, Normals, Segmentation, Suite
from mtl_framework.data import examples as examples_module
from mtl_framework.data.overview import overview
from mtl_framework.runs import known_data
from mtl_framework.support.errors import MtlError

RNG = np.random.default_rng(0)


def save(path: Path, array: np.ndarray) -> None:
    """An array as NPY, PNG or TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def nyu_like(root: Path, height: int = 12, width: int = 16) -> None:
    """The field's layout: floats, labels with -1, depth with a dimension of one behind."""
    for split, count in (("train", 10), ("val", 3)):
        for n in range(count):
            where = root / split
            save(where / "image" / f"{n}.npy", RNG.random((height, width, 3)))
            label = RNG.integers(-1, 7, (height, width)).astype(np.float32)
            save(where / "label" / f"{n}.npy", label)
            save(where / "depth" / f"{n}.npy", (RNG.random((height, width, 1)) * 5) + n)
            save(where / "normal" / f"{n}.npy", RNG.normal(size=(height, width, 3)))


def test_nyuv2_in_the_layout_of_the_field(tmp_path: Path) -> None:
    nyu_like(tmp_path / "nyuv2")
    suite = nyuv2(data_root=str(tmp_path))
    assert suite.task_names == ("segmentation", "depth", "normals")
    assert suite.common_input
    assert suite.input_shape == (3, 12, 16)
    assert [len(x) for x in suite.tasks[0].splits().values()] == [9, 1, 3]
    label = np.load(tmp_path / "nyuv2/val/label/2.npy")
    found = suite.tasks[0].test.targets[2]
    assert torch.equal(found, torch.from_numpy(np.where(label < 0, 255, label)).to(torch.uint8))
    depth = np.load(tmp_path / "nyuv2/val/depth/1.npy")[..., 0]
    np.testing.assert_allclose(suite.tasks[1].test.targets[1], depth, rtol=1e-6)
    normal = np.load(tmp_path / "nyuv2/val/normal/0.npy").transpose(2, 0, 1)
    np.testing.assert_allclose(suite.tasks[2].test.targets[0], normal, rtol=1e-6)
    objective = suite.tasks[0].objective
    assert isinstance(objective, Segmentation)
    assert objective.num_classes == 13
    smaller = nyuv2(data_root=str(tmp_path), tasks=["depth"], size=(6, 8))
    assert smaller.input_shape == (3, 6, 8)
    assert smaller.tasks[0].test.targets.shape == (3, 6, 8)


def test_cityscapes_in_the_layout_of_the_field(tmp_path: Path) -> None:
    nyu_like(tmp_path / "cityscapes")
    suite = cityscapes(data_root=str(tmp_path), validation_share=0.0)
    assert suite.task_names == ("segmentation", "disparity")
    assert suite.tasks[0].validation is None
    assert suite.tasks[0].objective.num_outputs == 7


def test_pictures_of_all_kinds_are_read_as_the_values_that_they_hold(tmp_path: Path) -> None:
    for n in range(10):
        save(tmp_path / "images" / f"a{n}.png", RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        label = RNG.integers(0, 3, (8, 8), dtype=np.uint8)
        label[0, 0] = 255
        save(tmp_path / "label" / f"a{n}.png", label)
        millimetres = np.full((8, 8), 1500 + n, np.uint16)
        millimetres[0] = 0
        save(tmp_path / "depth" / f"a{n}.png", millimetres)
        coded = np.full((8, 8, 3), (128, 128, 255), np.uint8)
        coded[:, 0] = 0
        if n:
            save(tmp_path / "normals" / f"a{n}.png", coded)
        save(tmp_path / "edges" / f"a{n}.png", np.eye(8, dtype=np.uint8) * 255)
        save(tmp_path / "height" / f"a{n}.tiff", RNG.random((8, 8)).astype(np.float32))
    suite = dense_folders(
        data_root=str(tmp_path),
        scales={"depth": 0.001},
        kinds={"height": "numbers"},
    )
    by_name = {task.name: task for task in suite.tasks}
    assert set(by_name) == {"depth", "edges", "height", "label", "normals"}
    assert [len(x) for x in by_name["depth"].splits().values()] == [7, 1, 2]
    depth, normals = by_name["depth"], by_name["normals"]
    assert isinstance(depth.objective, Depth)
    targets = depth.train.targets
    assert not depth.objective.known(targets)[:, 0].any()
    assert 1.49 < float(targets[0, 1, 1]) < 1.52
    assert isinstance(normals.objective, Normals)
    masks = [x.labelled for x in normals.splits().values() if x.labelled is not None]
    assert sum(int((~mask).sum()) for mask in masks) == 1
    assert any("1 image without a map" in note for note in suite.notes)
    seen = normals.train.targets[normals.objective.known(normals.train.targets).any((1, 2))]
    assert not normals.objective.known(seen)[..., 0].any()
    upright = torch.tensor([0.004, 0.004, 1])
    torch.testing.assert_close(seen[0, :, 1, 1], upright, atol=1e-3, rtol=0)
    assert torch.equal(by_name["edges"].train.targets[0], torch.eye(8, dtype=torch.uint8))
    assert by_name["label"].objective.num_outputs == 3
    assert (by_name["label"].train.targets[:, 0, 0] == 255).all()
    again = dense_folders(data_root=str(tmp_path), tasks=["depth"], scales={"depth": 0.001})
    assert torch.equal(again.tasks[0].train.targets, targets)


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"there is no folder .*nyuv2: suite 'nyuv2' needs train"):
        nyuv2(data_root=str(tmp_path))
    nyu_like(tmp_path / "nyuv2")
    root = tmp_path / "nyuv2"
    save(root / "train/depth/3.npy", np.ones((5, 16)))
    with pytest.raises(MtlError, match=r"depth/3\.npy is a map of 5x16, its image has 12x16"):
        nyuv2(data_root=str(tmp_path))
    save(root / "train/depth/3.npy", np.ones((12, 16)))
    save(root / "train/label/4.npy", np.full((12, 16), 13))
    with pytest.raises(MtlError, match="'segmentation' has 13 classes, but a map has number 13"):
        nyuv2(data_root=str(tmp_path))
    (root / "train/label/4.npy").write_bytes(b"no array")
    with pytest.raises(MtlError, match=r"label/4\.npy cannot be read as a map"):
        nyuv2(data_root=str(tmp_path))
    with pytest.raises(MtlError, match=r"has the tasks .*, found 'detph'"):
        nyuv2(data_root=str(tmp_path), tasks=["detph"])
    with pytest.raises(MtlError, match=r"there is no folder .*images"):
        dense_folders(data_root=str(root))
    save(tmp_path / "own/images/a.png", np.zeros((8, 8, 3), np.uint8))
    save(tmp_path / "own/weird/a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(MtlError, match=r"set suite\.kinds\.weird to segmentation, depth"):
        dense_folders(data_root=str(tmp_path), path="own")
    with pytest.raises(MtlError, match=r"suite\.kinds names 'wierd'"):
        dense_folders(data_root=str(tmp_path), path="own", kinds={"wierd": "depth"})


def test_folders_of_splits_go_by_any_of_their_usual_names(tmp_path: Path) -> None:
    for split, count in (("Training", 6), ("valid", 2), ("Testing", 3)):
        for n in range(count):
            image = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            save(tmp_path / split / "images" / f"{n}.png", image)
            save(tmp_path / split / "depth" / f"{n}.npy", np.full((8, 8), n + 1.0))
    (task,) = dense_folders(data_root=str(tmp_path)).tasks
    assert {split: len(part) for split, part in task.splits().items()} == {
        "train": 6,
        "validation": 2,
        "test": 3,
    }
    (tmp_path / "val").mkdir()
    with pytest.raises(MtlError, match=r"val and .*valid are both the validation split"):
        dense_folders(data_root=str(tmp_path))


def test_files_that_are_left_out_are_told(tmp_path: Path) -> None:
    for n in range(8):
        image = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        save(tmp_path / "images" / f"{n}.png", image)
        save(tmp_path / "depth" / f"{n}.npy", np.ones((8, 8), np.float32))
    assert not dense_folders(data_root=str(tmp_path)).notes
    save(tmp_path / "depth/99.npy", np.ones((8, 8), np.float32))
    (tmp_path / "images/notes.txt").write_text("x")
    assert dense_folders(data_root=str(tmp_path)).notes == (
        f"left out 1 of other kinds in {tmp_path / 'images'}",
        f"left out 1 map without an image, e.g. {tmp_path / 'depth/99.npy'}",
    )
    os.rename(tmp_path / "images/3.png", os.fsencode(tmp_path / "images") + b"/\xff.png")
    with pytest.raises(MtlError, match=r"images/\\udcff\.png has a name that is no text"):
        dense_folders(data_root=str(tmp_path))


def test_images_in_two_splits_follow_the_option(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("test", 3)):
        for n in range(count):
            image = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            save(tmp_path / split / "images" / f"{n}.png", image)
            save(tmp_path / split / "depth" / f"{n}.npy", np.ones((8, 8), np.float32))
    copied = (tmp_path / "train/images/4.png").read_bytes()
    (tmp_path / "test/images/0.png").write_bytes(copied)
    with pytest.raises(MtlError, match=r"test/images/0\.png: is the same picture in test as .*4"):
        dense_folders(data_root=str(tmp_path))
    told = dense_folders(data_root=str(tmp_path), duplicates="warn").notes
    assert "1 picture is in both train and test, e.g. " in " ".join(told)
    assert not dense_folders(data_root=str(tmp_path), duplicates="allow").notes


def test_large_maps_lie_on_disk_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels, their missing rows and pixels, black and white maps, what a run records of them."""
    nyu_like(tmp_path / "nyuv2")
    for split, count in (("train", 10), ("val", 3)):
        for n in range(count):
            where = tmp_path / "own" / split
            save(where / "images" / f"{n}.png", RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8))
            save(where / "edge" / f"{n}.png", RNG.integers(0, 2, (8, 8)).astype(np.uint8) * 255)
            if n % 3:
                save(where / "heat" / f"{n}.npy", RNG.normal(size=(8, 8)))
    kinds: dict[str, MapKind] = {"heat": "numbers"}

    def suites() -> list[Suite]:
        own = dense_folders(data_root=str(tmp_path), path="own", kinds=kinds, test_share=0.2)
        return [nyuv2(data_root=str(tmp_path)), own]

    in_memory = suites()
    monkeypatch.setattr(map_stack, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(examples_module, "_MOST_COPIED", 4000)
    sizes: list[int] = []
    allocate = os.posix_fallocate

    def allocated(file: int, start: int, size: int) -> None:
        sizes.append(size)
        allocate(file, start, size)

    monkeypatch.setattr(os, "posix_fallocate", allocated)
    on_disk = suites()
    assert len(sizes) == 3 * 3 + 2 * 3  # tasks and splits
    assert 9 * 12 * 16 in sizes  # labels, a byte a pixel
    assert not list(Path(tempfile.gettempdir()).glob("mtl-maps-*"))
    for before, after in zip(in_memory, on_disk, strict=True):
        for a, b in zip(before.tasks, after.tasks, strict=True):
            assert a.objective == b.objective
            for split, examples in a.splits().items():
                other = b.splits()[split]
                torch.testing.assert_close(
                    examples.targets, other.targets, rtol=0, atol=0, equal_nan=True
                )
                same = (examples.labelled is None) == (other.labelled is None)
                assert same
        assert known_data.describe(before) == known_data.describe(after)
        assert str(overview(before)) == str(overview(after))
    edges = on_disk[1].tasks[on_disk[1].index("edge")]
    assert set(edges.train.targets.unique().tolist()) == {0, 1}
    monkeypatch.setattr(os, "posix_fallocate", full_disk)
    with pytest.raises(MtlError, match=r"has no room for .* GiB of maps \(No space left"):
        suites()


def full_disk(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
