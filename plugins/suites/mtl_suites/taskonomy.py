"""The suite ``taskonomy`` has rooms of some buildings, with depth, normals, edges and more."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtl_framework import MtlError
from mtl_framework.data import Suite

from .dense_files import converted, read_map
from .dense_layout import MapTask, SplitFiles, dense_suite, listed, random_parts
from .options import Names

TaskName = Literal[
    "depth_zbuffer", "depth_euclidean", "normal", "edge_texture", "edge_occlusion", "keypoints2d",
    "keypoints3d", "reshading", "segment_semantic",
]  # fmt: skip
DEPTHS = ("depth_zbuffer", "depth_euclidean")
_METRE = 512  # number by which files of depths mean one metre
_SIXTEEN_BITS = 65535
_SEMANTIC = 18  # numbers in segment_semantic: 0 for no label, 1 for the background, 16 objects
_NAME = re.compile(r"(?P<view>point_\d+_view_\d+)_domain_(?P<domain>\w+)")
_VALIDATION = ("collierville", "corozal", "darden", "markleeville", "wiconisco")
_TEST = ("ihlen", "mcdade", "muleshoe", "noxapater", "uvalda")


def taskonomy(
    *,
    data_root: str = "data",
    path: str = "taskonomy",
    tasks: tuple[TaskName, ...] | None = None,
    buildings: Names | None = None,
    validation: Names | None = None,
    test: Names | None = None,
    size: tuple[int, int] | None = None,
    split_seed: int = 0,
) -> Suite:
    """Predict depth, normals, edges and other maps of rooms in some buildings (Taskonomy).

    The files are those of Zamir et al., CVPR 2018, arXiv 1804.08328, as its tools download them:
    rgb/BUILDING and TASK/BUILDING, or BUILDING/rgb and BUILDING/TASK, with
    point_P_view_V_domain_TASK.png. All images of a building are in one split.

    ``depth_zbuffer`` and ``depth_euclidean`` are in metres; pixels with 65535 in a file have no
    label. ``normal`` has the axes of the files. ``segment_semantic`` has the numbers of the files,
    where 0 means no label. The other tasks predict numbers from 0 to 1, which are those of the
    files divided by 65535 (16 bits) or 255 (8 bits).

    Args:
        data_root: folder that ``path`` starts from.
        path: folder, within ``data_root``, that holds rgb, or the buildings.
        tasks: names of the tasks, in order, which are names of folders; default: all that the
            folder has.
        buildings: names of the buildings that are read; default: all that the folder has.
        validation: names of the buildings of the validation split; default: those of the published
            tiny split that the folder has; if it has none of them, one in five at random, and none
            of fewer than three buildings.
        test: names of the buildings of the test split; default: those of the published tiny split
            that the folder has; if it has none of them, one in five at random, at least one.
        size: height and width, in pixels, that images and maps are resized to; default: their own.
        split_seed: seed of the random choice of buildings.

    Raises:
        MtlError: if a folder or file is missing, cannot be read or does not fit; the message names
            it.
    """
    root = Path(data_root) / path
    if not root.is_dir():
        raise MtlError(
            f"there is no folder {root}: suite 'taskonomy' needs rgb and others with a folder for "
            "each building, see `mtl describe --suite taskonomy`"
        )
    nested = not (root / "rgb").is_dir()
    there = _buildings(root, nested)
    chosen = [_known(name, there) for name in buildings] if buildings else there
    parts = _parts(chosen, validation, test, split_seed)
    known = _all_tasks()
    names = list(tasks or _there(root, nested, chosen, known))
    if not names:
        raise MtlError(f"{root} has no folder of {', '.join(known)}{listed(root)}")
    wanted = [known[name] for name in names]
    splits = {split: _files(root, nested, part, wanted) for split, part in parts.items() if part}
    return dense_suite("taskonomy", splits, wanted, size)


def _all_tasks() -> dict[str, MapTask]:
    every = [MapTask(name, name, "depth", read=_metres) for name in DEPTHS]
    every.append(MapTask("normal", "normal", "normals", read=converted("normals", 1.0, None)))
    for name in ("edge_texture", "edge_occlusion", "keypoints2d", "keypoints3d", "reshading"):
        every.append(MapTask(name, name, "numbers", read=_share))
    every.append(
        MapTask("segment_semantic", "segment_semantic", "segmentation",
                ignored=(0,), classes=_SEMANTIC)
    )  # fmt: skip
    return {task.name: task for task in every}


def _metres(path: Path) -> NDArray[Any]:
    array = read_map(path)
    if array.ndim != 2:
        raise MtlError(f"{path} should hold depths (H, W) of 16 bits, found {array.shape}")
    return np.where(array >= _SIXTEEN_BITS, 0, array / _METRE).astype(np.float32)


def _share(path: Path) -> NDArray[Any]:
    array = read_map(path)
    most = 255 if array.dtype == np.uint8 else _SIXTEEN_BITS
    if array.ndim == 3 and bool((array[..., :3] == array[..., :1]).all()):
        array = array[..., 0]  # grey levels in three channels
    if array.ndim != 2:
        raise MtlError(f"{path} should hold numbers (H, W), found {array.shape}")
    return (array / most).astype(np.float32)


def _folder(root: Path, nested: bool, building: str, domain: str) -> Path:
    return root / building / domain if nested else root / domain / building


def _buildings(root: Path, nested: bool) -> list[str]:
    inner = root if nested else root / "rgb"
    found = sorted(p.name for p in inner.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = [name for name in found if _folder(root, nested, name, "rgb").is_dir()]
    if not found:
        raise MtlError(
            f"{root} has neither rgb with a folder for each building, nor buildings with rgb in "
            f"them{listed(root)}"
        )
    return found


def _known(name: str, there: Sequence[str]) -> str:
    if name not in there:
        raise MtlError(f"there is no building {name!r}; there are {', '.join(there[:12])}")
    return name


def _parts(
    buildings: Sequence[str],
    validation: Sequence[str] | None,
    test: Sequence[str] | None,
    seed: int,
) -> dict[str, list[str]]:
    """Divide buildings into splits.

    Args:
        buildings: names of all buildings.
        validation: names of those for validation; ``None`` chooses them.
        test: names of those for test; ``None`` chooses them.
        seed: seed of the random choice.

    Raises:
        MtlError: if a building does not exist or is in two splits, or none is left for training or
            test.
    """
    given = {"test": test, "validation": validation}
    tiny = {"test": _TEST, "validation": _VALIDATION}
    count = {"test": max(1, len(buildings) // 5), "validation": (len(buildings) + 2) // 5}
    parts: dict[str, list[str]] = {}
    for split, names in given.items():
        taken = {name for part in parts.values() for name in part}
        if names is not None:
            parts[split] = [_known(name, buildings) for name in names]
            continue
        free = [name for name in buildings if name not in taken]
        parts[split] = [name for name in free if name.lower() in tiny[split]]
        if not parts[split]:
            number = count[split] if len(buildings) > 2 or split == "test" else 0
            share = number / len(free) if free else 0.0
            rows = random_parts(len(free), [share], seed)[0] if number else []
            parts[split] = [free[row] for row in rows]
    twice = set(parts["test"]) & set(parts["validation"])
    if twice:
        raise MtlError(f"building {sorted(twice)[0]!r} is in validation and in test")
    taken = {name for part in parts.values() for name in part}
    parts["train"] = [name for name in buildings if name not in taken]
    for split in ("train", "test"):
        if not parts[split]:
            raise MtlError(
                f"no building is left for the {split} split; there are {', '.join(buildings)}: set "
                "suite.validation and suite.test"
            )
    return parts


def _there(
    root: Path, nested: bool, buildings: Sequence[str], known: Mapping[str, MapTask]
) -> list[str]:
    return [
        name
        for name in known
        if any(_folder(root, nested, building, name).is_dir() for building in buildings)
    ]


def _files(
    root: Path, nested: bool, buildings: Sequence[str], tasks: Sequence[MapTask]
) -> SplitFiles:
    """Return the images of some buildings, and the maps of the same views."""
    images: list[Path] = []
    maps: dict[str, list[Path | None]] = {task.name: [] for task in tasks}
    for building in buildings:
        folder = _folder(root, nested, building, "rgb")
        views = _views(folder)
        if not views:
            raise MtlError(f"{folder} holds no point_P_view_V_domain_rgb.png{listed(folder)}")
        images += views.values()
        for task in tasks:
            place = _folder(root, nested, building, task.folder)
            found = _views(place) if place.is_dir() else {}
            maps[task.name] += [found.get(view) for view in views]
    for task in tasks:
        if not any(maps[task.name]):
            places = ", ".join(str(_folder(root, nested, b, task.folder)) for b in buildings[:3])
            raise MtlError(f"task {task.name!r} has no map of a view in {places}")
    return SplitFiles(images, maps)


def _views(folder: Path) -> dict[str, Path]:
    """Return files by the point and view in their names, in the order of these numbers."""
    found = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.stem)
        if match is not None and path.suffix.lower() == ".png":
            found[match["view"]] = path
    return dict(
        sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])])
    )
