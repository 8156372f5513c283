"""Files of maps: EXR, the limit of pixels, resizing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mtl_suites.dense_files import converted, read_map
from mtl_suites.dense_folders import dense_folders
from PIL import Image

from mtl_framework.support.errors import MtlError

RNG = np.random.default_rng(0)


def test_exr_files_are_read_where_the_library_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exr = pytest.importorskip("OpenEXR")
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    depth = RNG.random((4, 6)).astype(np.float32) * 50
    vectors = RNG.normal(size=(4, 6, 3)).astype(np.float16)
    for name, channels in (
        ("depth", {"Z": depth}),
        ("normals", {"RGB": vectors}),
        ("two", {"Y": depth, "Z": depth}),
    ):
        with exr.File(header, channels) as file:
            file.write(str(tmp_path / f"{name}.exr"))
    np.testing.assert_array_equal(read_map(tmp_path / "depth.exr"), depth)
    found = converted("normals", 1.0, None)(tmp_path / "normals.exr")
    np.testing.assert_array_equal(found, vectors.transpose(2, 0, 1).astype(np.float32))
    with pytest.raises(MtlError, match=r"two\.exr has the channels Y, Z; one channel, or R, G"):
        read_map(tmp_path / "two.exr")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(MtlError, match=r"depth\.exr is too large an image: its 6 x 4 pixels"):
        read_map(tmp_path / "depth.exr")
    monkeypatch.undo()
    (tmp_path / "torn.exr").write_bytes((tmp_path / "depth.exr").read_bytes()[:90])
    with pytest.raises(MtlError, match=r"torn\.exr cannot be read as a map"):
        read_map(tmp_path / "torn.exr")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MtlError, match=r"is an EXR file, which needs .*mtl-framework\[exr\]"):
        read_map(tmp_path / "depth.exr")


def test_maps_have_the_limit_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 6, 5), np.float32))
    Image.fromarray(np.zeros((6, 5), np.uint16)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_map(tmp_path / "a.npy").shape == (3, 6, 5)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 29)
    for name in ("a.npy", "a.png"):
        with pytest.raises(MtlError, match=f"{name} is too large an image"):
            read_map(tmp_path / name)


def test_resized_numbers_are_averaged_and_labels_are_not(tmp_path: Path) -> None:
    depth = np.tile(np.array([1.0, 2, 3, 5]), (4, 1))
    label = np.tile(np.array([0, 1, 2, 1]), (4, 1))
    for n in range(4):
        for folder, array in (("depth", depth), ("label", label), ("height", depth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            np.save(tmp_path / folder / f"{n}.npy", array)
        (tmp_path / "images").mkdir(exist_ok=True)
        np.save(tmp_path / "images" / f"{n}.npy", np.zeros((4, 4, 3), np.uint8))
    suite = dense_folders(data_root=str(tmp_path), size=(4, 2), kinds={"height": "numbers"})
    by_name = {task.name: task.test.targets for task in suite.tasks}
    expected = torch.tensor([12 / 7, 26 / 7])
    torch.testing.assert_close(by_name["depth"][0, 0], expected)
    torch.testing.assert_close(by_name["height"][0, 0, 0], expected)
    assert by_name["label"][0, 0].tolist() == [1, 1]
