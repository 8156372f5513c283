"""Taskonomy's buildings, in small files of the real formats."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.taskonomy import taskonomy
from PIL import Image

from mtl_framework.support.errors import MtlError

RNG = np.random.default_rng(0)
SIZE = (6, 8)


def picture(domain: str) -> np.ndarray:
    """A map as the collection's files hold it."""
    if domain == "depth_zbuffer":
        depth = np.full(SIZE, 1024, np.uint16)  # two metres
        depth[0] = 65535
        return depth
    if domain == "normal":
        normals = np.full((*SIZE, 3), (127, 127, 255), np.uint8)
        normals[0] = 127
        return normals
    if domain == "edge_texture":
        return np.full(SIZE, 6553, np.uint16)
    if domain == "reshading":
        return np.full((*SIZE, 3), 51, np.uint8)
    if domain == "segment_semantic":
        return np.tile(np.arange(8, dtype=np.uint8), (6, 1))
    return RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


DOMAINS = ("rgb", "depth_zbuffer", "normal", "edge_texture", "reshading", "segment_semantic")


def make(root: Path, buildings: tuple[str, ...], nested: bool = False) -> None:
    for building in buildings:
        for domain in DOMAINS:
            folder = root / building / domain if nested else root / domain / building
            folder.mkdir(parents=True)
            for point in (0, 2, 10):
                name = f"point_{point}_view_0_domain_{domain}.png"
                Image.fromarray(picture(domain)).save(folder / name)


@pytest.mark.parametrize("nested", [False, True])
def test_buildings_are_read_and_split_as_a_whole(tmp_path: Path, nested: bool) -> None:
    make(tmp_path / "taskonomy", ("hanson", "merom", "darden", "ihlen"), nested)
    suite = taskonomy(data_root=str(tmp_path))
    assert suite.task_names == DOMAINS[1:3] + DOMAINS[3:]
    assert [len(x) for x in suite.tasks[0].splits().values()] == [6, 3, 3]
    targets = {task.name: task.test.targets for task in suite.tasks}
    assert targets["depth_zbuffer"][0, 0].tolist() == [0] * 8
    assert (targets["depth_zbuffer"][:, 1:] == 2).all()
    normals = suite.tasks[1].objective.known(targets["normal"])  # type: ignore[attr-defined]
    assert not normals[:, 0].any()
    assert normals[:, 1:].all()
    np.testing.assert_allclose(targets["edge_texture"][0, 0], 6553 / 65535)
    np.testing.assert_allclose(targets["reshading"][0, 0], 0.2)
    assert targets["segment_semantic"][0, 0].tolist() == [255, 1, 2, 3, 4, 5, 6, 7]
    assert suite.tasks[4].objective.num_outputs == 18
    inputs: Any = suite.tasks[0].test.inputs
    assert [Path(inputs.name(n)).name for n in range(3)] == [
        f"point_{n}_view_0_domain_rgb.png" for n in (0, 2, 10)
    ]


def test_splits_can_be_named_or_drawn(tmp_path: Path) -> None:
    make(tmp_path / "taskonomy", ("a", "b", "c"))
    drawn = taskonomy(data_root=str(tmp_path), tasks=("normal",))
    assert [len(x) for x in drawn.tasks[0].splits().values()] == [3, 3, 3]
    named = taskonomy(
        data_root=str(tmp_path), tasks=("normal",), test=["a"], validation=[], size=(3, 4)
    )
    assert [len(x) for x in named.tasks[0].splits().values()] == [6, 3]
    assert "/a/" in named.tasks[0].test.inputs.name(0)  # type: ignore[union-attr]
    some = taskonomy(data_root=str(tmp_path), tasks=("normal",), buildings=["a", "c"], test=["c"])
    assert [len(x) for x in some.tasks[0].splits().values()] == [3, 3]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    def refused(match: str, **options: Any) -> None:
        with pytest.raises(MtlError, match=match):
            taskonomy(data_root=str(tmp_path), **options)

    refused("there is no folder .*taskonomy: suite 'taskonomy' needs rgb")
    root = tmp_path / "taskonomy"
    (root / "photos").mkdir(parents=True)
    refused("has neither rgb with a folder for each building, .* holds photos")
    shutil.rmtree(root)
    make(root, ("a", "b"))
    refused("there is no building 'c'; there are a, b", buildings=["c"])
    refused("building 'a' is in validation and in test", validation=["a"], test=["a"])
    refused("no building is left for the train split", test=["a", "b"])
    refused("task 'keypoints2d' has no map of a view in", tasks=("keypoints2d",))
    for file in (root / "rgb" / "a").iterdir():
        file.unlink()
    refused("rgb/a holds no point_P_view_V_domain_rgb.png", tasks=("normal",))
