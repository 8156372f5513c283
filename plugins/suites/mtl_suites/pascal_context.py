"""The suite ``pascal_context`` has five tasks on the pictures of PASCAL VOC 2010."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtl_framework import MtlError
from mtl_framework.data import BinaryMap, Suite

from .dense_files import converted, read_map
from .dense_layout import MapTask, SplitFiles, dense_suite, listed, random_parts
from .pascal_parts import PARTS, person_parts, read_mat

TaskName = Literal["segmentation", "human_parts", "saliency", "normals", "edges"]
TASKS: tuple[TaskName, ...] = ("segmentation", "human_parts", "saliency", "normals", "edges")
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
EDGE_WEIGHT = 19.0  # weight of edge pixels in the loss: 0.95 / 0.05, as published networks have it
_LABELS = Path("pascal-context", "trainval")  # labels of 459 classes, from which edges are made
_SEMANTIC = (Path("semseg", "VOC12"), Path("semseg", "pascal-context"))
_JSON = ("nyu_classes.json", "context_classes.json")


def pascal_context(
    *,
    data_root: str = "data",
    path: str = "PASCALContext",
    tasks: tuple[TaskName, ...] = TASKS,
    size: tuple[int, int] = (256, 256),
    validation_share: float = 0.1,
    split_seed: int = 0,
) -> Suite:
    """Predict five maps of a picture (PASCAL-Context), from files as frameworks distribute them.

    The labels are those of Mottaghi et al., CVPR 2014 (semantic classes, edges), Chen et al., CVPR
    2014 (parts), and Maninis et al., CVPR 2019, arXiv 1904.08918, who distilled them from networks
    (saliency, normals). The files are in JPEGImages, ImageSets/Context with train.txt and val.txt,
    semseg/VOC12 or semseg/pascal-context, human_parts, sal_distill, normals_distill and
    pascal-context/trainval. Papers report results on the images of val.txt, so these are the test
    split here.

    ``segmentation`` has VOC's 21 classes. ``human_parts`` has the background and six parts of
    persons; an image without them has no label. ``saliency`` is 1 where the distilled probability
    is above one half. ``normals`` count on classes that NYUv2 has, too, if json/nyu_classes.json
    and json/context_classes.json say which, and otherwise everywhere. ``edges`` are pixels whose
    right or lower neighbour is of another one of 459 classes; these pixels weigh 19 times as much
    in the loss. Maps of all tasks take some 16 bytes for each pixel, in memory or, if they are
    large, in a temporary file.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder, within ``data_root``, that holds JPEGImages and the other folders.
        tasks: names of the tasks, in order, out of segmentation, human_parts, saliency, normals and
            edges; default: all five.
        size: height and width, in pixels, that images and maps are resized to, because the
            pictures' sizes differ.
        validation_share: share of the training examples that become the validation split; 0 makes
            no such split.
        split_seed: seed of the random choice of validation examples.

    Raises:
        MtlError: if a folder or file is missing, cannot be read or does not fit; the message names
            it.
    """
    root = Path(data_root) / path
    if not tasks or len(set(tasks)) != len(tasks):
        raise MtlError(f"tasks should be different ones of {', '.join(TASKS)}, found {tasks}")
    if not root.is_dir():
        raise MtlError(
            f"there is no folder {root}: suite 'pascal_context' needs JPEGImages, ImageSets and "
            "labels beside them, see `mtl describe --suite pascal_context`"
        )
    notes: list[str] = []
    valid = _classes_of_normals(root, notes) if "normals" in tasks else None
    made = [task for task in _all_tasks(root, valid) if task.name in tasks]
    made.sort(key=lambda task: list(tasks).index(task.name))  # type: ignore[arg-type]
    whole = _split(root, "train", made)
    splits = {"test": _split(root, "val", made)}
    validation, train = random_parts(len(whole.images), [validation_share], split_seed)
    splits["train"] = whole.part(train)
    if validation:
        splits["validation"] = whole.part(validation)
    return dense_suite("pascal_context", splits, made, size, notes)


def _all_tasks(root: Path, valid: frozenset[int] | None) -> list[MapTask]:
    normals = converted("normals", 1.0, None)
    return [
        MapTask("segmentation", "", "segmentation", classes=21, class_names=VOC_CLASSES),
        MapTask(
            "human_parts", "human_parts", "segmentation",
            classes=len(PARTS), class_names=PARTS, read=person_parts,
        ),
        MapTask("saliency", "sal_distill", "binary", read=_salient),
        MapTask(
            "normals", "normals_distill", "normals",
            read=functools.partial(_normals, root / _LABELS, valid, normals),
        ),
        MapTask("edges", str(_LABELS), "binary", read=_edges, objective=BinaryMap(EDGE_WEIGHT)),
    ]  # fmt: skip


def _split(root: Path, split: str, tasks: Sequence[MapTask]) -> SplitFiles:
    """Return the files of a split, whose names are in a list."""
    file = root / "ImageSets" / "Context" / f"{split}.txt"
    try:
        names = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        there = listed(file.parent)
        raise MtlError(f"{file}, the names of the {split} images, cannot be read{there}") from error
    if not names:
        raise MtlError(f"{file} names no image")
    images = [_there(root / "JPEGImages" / f"{name}.jpg", file) for name in names]
    maps: dict[str, list[Path | None]] = {}
    for task in tasks:
        if task.name == "segmentation":
            maps[task.name] = [_semantic(root, name, file) for name in names]
            continue
        suffix = ".mat" if task.name in ("human_parts", "edges") else ".png"
        maps[task.name] = [_there(root / task.folder / f"{name}{suffix}", file) for name in names]
    return SplitFiles(images, maps)


def _there(path: Path, names: Path) -> Path:
    if not path.is_file():
        raise MtlError(f"there is no {path}, which {names} names{listed(path.parent)}")
    return path


def _semantic(root: Path, name: str, names: Path) -> Path:
    """Return the file of an image's labels: VOC's own if there are some, else PASCAL-Context's."""
    paths = [root / folder / f"{name}.png" for folder in _SEMANTIC]
    return next((path for path in paths if path.is_file()), None) or _there(paths[-1], names)


def _salient(path: Path) -> NDArray[Any]:
    array = read_map(path)
    if array.ndim != 2:
        raise MtlError(f"{path} should hold grey levels (H, W), found {array.shape}")
    return (array > 127).astype(np.int64)


def _edges(path: Path) -> NDArray[Any]:
    labels = _labels(path)
    found = np.zeros(labels.shape, bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found.astype(np.int64)


def _normals(labels: Path, valid: frozenset[int] | None, read: Any, path: Path) -> NDArray[Any]:
    vectors: NDArray[Any] = read(path)
    if valid is None:
        return vectors
    classes = _labels(labels / f"{path.stem}.mat")
    if classes.shape != vectors.shape[1:]:
        raise MtlError(f"{path} and the labels of its image have different sizes")
    return np.where(np.isin(classes, list(valid)), vectors, 0).astype(np.float32)


def _labels(path: Path) -> NDArray[Any]:
    labels = read_mat(path).get("LabelMap")
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise MtlError(f"{path} should hold LabelMap, the classes (H, W)")
    return labels


def _classes_of_normals(root: Path, notes: list[str]) -> frozenset[int] | None:
    """Return the numbers of the classes on which normals count, or ``None`` if they do on all."""
    files = [root / "json" / name for name in _JSON]
    if not all(file.is_file() for file in files):
        notes.append(
            f"task 'normals' counts everywhere, as there is no {files[0]} and {files[1].name}: "
            "published figures are on some classes only"
        )
        return None
    try:
        indoor, context = (json.loads(file.read_bytes()) for file in files)
        names = {name for name in indoor if name in context and name != "unknown"} | {"tvmonitor"}
        return frozenset(int(context[name]) for name in names)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MtlError(f"{files[0]} and {files[1]} name no classes: {error}") from error
