"""The suites ``dense_folders``, ``nyuv2`` and ``cityscapes`` have images and maps in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_framework import MtlError
from mtl_framework.data import Suite, known_split

from .dense_files import MapKind
from .dense_layout import MapTask, SplitFiles, dense_suite, find_files, random_parts
from .duplicates import Policy, seen_twice
from .faults import Faults
from .file_contents import FileContents
from .options import Names

_KINDS: dict[str, MapKind] = {
    **dict.fromkeys(("label", "labels", "seg", "semantic", "segmentation"), "segmentation"),
    **dict.fromkeys(("depth", "disparity"), "depth"),
    **dict.fromkeys(("normal", "normals"), "normals"),
    **dict.fromkeys(("edge", "edges", "saliency", "mask"), "binary"),
}
NYU_CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table",
    "tv", "wall", "window",
)  # fmt: skip
CITY_CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")


def dense_folders(  # longer than 60 lines: every option has a description
    *,
    path: str = ".",
    data_root: str = ".",
    tasks: Names | None = None,
    images: str = "images",
    kinds: dict[str, MapKind] | None = None,
    classes: dict[str, int] | None = None,
    scales: dict[str, float] | None = None,
    ignored: dict[str, tuple[int, ...]] | None = None,
    size: tuple[int, int] | None = None,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    split_seed: int = 0,
    duplicates: Policy = "refuse",
) -> Suite:
    """Make tasks from your own folders of images and maps: images/NAME.png and TASK/NAME.npy.

    A map belongs to the image of the same name; it is a file in NPY, PNG of 8 or 16 bits, TIFF or
    EXR. The splits are folders train, validation (or val) and test, each with a folder of images
    and a folder for every task. Splits without a folder are taken at random from the other
    examples, the same for every seed of a run. An image without a map of a task has no label for
    it. Images are read when they are needed; maps are held in memory, or in a temporary file where
    they are large.

    Args:
        path: path of the folder, within ``data_root``.
        data_root: folder that ``path`` starts from.
        tasks: names of the tasks' folders, in order; default: all folders but that of the images,
            by name.
        images: name of the folder of images.
        kinds: what the maps of a task are, as a mapping from task to segmentation, depth, normals,
            binary or numbers; default: what the folder's name says, e.g. label, depth, normal or
            edge.
        classes: number of classes, as a mapping from task; default: one more than the largest
            number in the task's maps.
        scales: factor that the numbers in maps of depth, normals or numbers are multiplied by, as a
            mapping from task, e.g. 0.001 for millimetres; default: 1.
        ignored: whole numbers in maps that stand for no label, as a mapping from task to a list;
            default: -1 and 255, and -1 alone in binary maps.
        size: height and width, in pixels, that images and maps are resized to; default: their own.
        validation_share: share of the examples that become the validation split if there is no
            folder for it; 0 makes no such split.
        test_share: share of the examples that become the test split if there is no folder for it.
        split_seed: seed of the random choice of a split's examples.
        duplicates: what happens to an image whose file has the same bytes in two splits: refuse
            ends a run if it is in training and test and these have folders, and otherwise prints a
            line; warn only prints lines; allow does not look.

    Raises:
        MtlError: if a folder or file is missing, cannot be read or does not fit; the message names
            it.
    """
    root = Path(data_root) / path
    if not root.is_dir():
        raise MtlError(f"there is no folder {root}")
    folders = _split_folders(root)
    first = folders.get("train", root)
    given = {"kinds": kinds, "classes": classes, "scales": scales, "ignored": ignored}
    chosen = _tasks(first, images, tasks, given)
    splits = {split: find_files(folder, images, chosen) for split, folder in folders.items()}
    whole = splits.pop("train", None) or find_files(root, images, chosen)
    left_out = [note for files in (*splits.values(), whole) for note in files.notes]
    shares = {"test": test_share, "validation": validation_share}
    wanted = {split: 0.0 if split in splits else share for split, share in shares.items()}
    test, validation, train = random_parts(len(whole.images), list(wanted.values()), split_seed)
    for split, rows in (("test", test), ("validation", validation), ("train", train)):
        if rows:
            splits[split] = whole.part(rows)
    _check(splits, root)
    made_here = duplicates == "refuse" and "test" not in folders
    lines = _seen_twice(splits, "warn" if made_here else duplicates)
    return dense_suite("dense_folders", splits, chosen, size, [*left_out, *lines])


def _seen_twice(splits: Mapping[str, SplitFiles], policy: Policy) -> list[str]:
    """Return lines on images that are in two splits, or refuse them."""
    faults = Faults("dense_folders", skip=False)
    files = {split: found.images for split, found in splits.items()}
    names = {split: [str(path) for path in paths] for split, paths in files.items()}
    _, lines = seen_twice(files, names, policy, faults, FileContents())
    if faults.found:
        faults.stop()
    return lines


def nyuv2(
    *,
    data_root: str = "data",
    path: str = "nyuv2",
    tasks: Names | None = None,
    size: tuple[int, int] | None = None,
    validation_share: float = 0.1,
    split_seed: int = 0,
) -> Suite:
    """Predict segmentation (13 classes), depth and normals of indoor scenes: preprocessed NYUv2.

    Silberman et al., ECCV 2012, preprocessed by Liu et al., CVPR 2019 (MTAN): folders train and
    val, in each image, label, depth and normal with 0.npy, 1.npy, ... of 288x384 pixels. Papers
    report results on the folder val, so it is the test split here.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder, within ``data_root``, that holds the folders train and val.
        tasks: names of the tasks, in order, out of segmentation, depth and normals; default: all.
        size: height and width, in pixels, that images and maps are resized to; default: their own.
        validation_share: share of the training examples that become the validation split; 0 makes
            no such split.
        split_seed: seed of the random choice of validation examples.

    Raises:
        MtlError: if a folder or file is missing or does not fit; the message names it.
    """
    every = [
        MapTask("segmentation", "label", "segmentation", classes=13, class_names=NYU_CLASSES),
        MapTask("depth", "depth", "depth"),
        MapTask("normals", "normal", "normals"),
    ]
    root = Path(data_root) / path
    return _published("nyuv2", root, every, tasks, size, validation_share, split_seed)


def cityscapes(
    *,
    data_root: str = "data",
    path: str = "cityscapes",
    tasks: Names | None = None,
    size: tuple[int, int] | None = None,
    validation_share: float = 0.1,
    split_seed: int = 0,
) -> Suite:
    """Predict segmentation (7 classes) and disparity of street scenes: preprocessed Cityscapes.

    Cordts et al., CVPR 2016, preprocessed by Liu et al., CVPR 2019 (MTAN): folders train and val,
    in each image, label and depth with 0.npy, 1.npy, ... of 128x256 pixels. Papers report results
    on the folder val, so it is the test split here. The files in the folder depth hold inverse
    depths.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder, within ``data_root``, that holds the folders train and val.
        tasks: names of the tasks, in order, out of segmentation and disparity; default: both.
        size: height and width, in pixels, that images and maps are resized to; default: their own.
        validation_share: share of the training examples that become the validation split; 0 makes
            no such split.
        split_seed: seed of the random choice of validation examples.

    Raises:
        MtlError: if a folder or file is missing or does not fit; the message names it.
    """
    every = [
        MapTask("segmentation", "label", "segmentation", classes=7, class_names=CITY_CLASSES),
        MapTask("disparity", "depth", "depth"),
    ]
    root = Path(data_root) / path
    return _published("cityscapes", root, every, tasks, size, validation_share, split_seed)


def _published(
    name: str,
    root: Path,
    every: list[MapTask],
    tasks: list[str] | None,
    size: tuple[int, int] | None,
    validation_share: float,
    seed: int,
) -> Suite:
    known = {task.name: task for task in every}
    for task in tasks or ():
        if task not in known:
            raise MtlError(f"suite {name!r} has the tasks {', '.join(known)}, found {task!r}")
    chosen = [known[task] for task in tasks or known]
    if not root.is_dir():
        raise MtlError(
            f"there is no folder {root}: suite {name!r} needs train and val with image, "
            f"{', '.join(task.folder for task in every)}, see `mtl describe --suite {name}`"
        )
    whole = find_files(root / "train", "image", chosen)
    splits = {"test": find_files(root / "val", "image", chosen)}
    validation, train = random_parts(len(whole.images), [validation_share], seed)
    splits["train"] = whole.part(train)
    if validation:
        splits["validation"] = whole.part(validation)
    _check(splits, root)
    return dense_suite(name, splits, chosen, size)


def _check(splits: dict[str, SplitFiles], root: Path) -> None:
    for split in ("train", "test"):
        if split not in splits or not splits[split].images:
            raise MtlError(f"{root} leaves no image for the {split} split: add images or shares")


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the folders that are splits by their names, which may be any usual ones, by split.

    Raises:
        MtlError: if two folders are one split.
    """
    folders: dict[str, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        split = known_split(folder.name)
        if split in folders:
            raise MtlError(
                f"{folders[split]} and {folder} are both the {split} split: take one away"
            )
        if split is not None:
            folders[split] = folder
    return folders


def _tasks(
    root: Path, images: str, names: list[str] | None, given: Mapping[str, Mapping[str, Any] | None]
) -> list[MapTask]:
    """Return the tasks of folders, with what options say about each.

    Raises:
        MtlError: if a folder is missing or an option does not fit; the message names it.
    """
    if not (root / images).is_dir():
        raise MtlError(
            f"there is no folder {root / images} of images: set suite.images to its name"
        )
    folders = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = names or [name for name in folders if name != images]
    if not names:
        raise MtlError(f"{root} holds no folder of maps beside {images}")
    options = {key: dict(values or {}) for key, values in given.items()}
    for key, values in options.items():
        for name in values:
            if name not in names:
                raise MtlError(f"suite.{key} names {name!r}; the tasks are {', '.join(names)}")
    made = []
    for name in names:
        kind = options["kinds"].get(name) or _KINDS.get(name.lower())
        if kind is None:
            raise MtlError(
                f"what the maps in {root / name} are is not told by their folder's name: set "
                f"suite.kinds.{name} to segmentation, depth, normals, binary or numbers"
            )
        rest = {
            field: options[key][name]
            for key, field in (("classes", "classes"), ("scales", "scale"), ("ignored", "ignored"))
            if name in options[key]
        }
        made.append(MapTask(name, name, kind, **rest))
    return made
