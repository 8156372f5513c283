"""The suites ``dense_folders``, ``nyuv2`` and ``cityscapes``: images and maps in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_framework import MtlError
from mtl_framework.data import Suite, known_split

from .dense_files import MapKind
from .dense_layout import MapTask, SplitFiles, dense_suite, find_files, random_parts
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


def dense_folders(  # longer than 60 lines: an option each, and what it means
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
) -> Suite:
    """Tasks from your own folders of images and maps: images/NAME.png and TASK/NAME.npy.

    A map belongs to the image of its name, in NPY, PNG of 8 or 16 bits, or TIFF. Folders train,
    validation (or val) and test, each with a folder of images and one a task, are the splits;
    without a folder for validation or test, or without any, those are taken at random, the same for
    every seed of a run. An image without a map of a task has no label for it. Images are read when
    they are needed; maps are held in memory, or in a temporary file where they are large.

    Args:
        path: path of the folder, within ``data_root``.
        data_root: folder that ``path`` starts from.
        tasks: names of the tasks' folders, in order; default: all beside the images', by name.
        images: name of the folder of images.
        kinds: by task what its maps are: segmentation, depth, normals, binary or numbers; default:
            by the folder's name, as in label, depth, normal, edge.
        classes: by task the number of classes; default: one more than the largest number.
        scales: by task what numbers of depth, normals or numbers are multiplied by, e.g. 0.001 for
            millimetres.
        ignored: by task the whole numbers that stand for no label; default: -1 and 255.
        size: height and width that images and maps are resized to; default: as they are.
        validation_share: share of the examples that validate, where there is no folder for them; 0:
            none.
        test_share: share of the examples that test, where there is no folder for them.
        split_seed: seed of the random choice of a split's examples.

    Raises:
        MtlError: naming the folder or file that is missing, cannot be read or does not fit.
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
    shares = {"test": test_share, "validation": validation_share}
    wanted = {split: 0.0 if split in splits else share for split, share in shares.items()}
    test, validation, train = random_parts(len(whole.images), list(wanted.values()), split_seed)
    for split, rows in (("test", test), ("validation", validation), ("train", train)):
        if rows:
            splits[split] = whole.part(rows)
    _check(splits, root)
    return dense_suite("dense_folders", splits, chosen, size)


def nyuv2(
    *,
    data_root: str = "data",
    path: str = "nyuv2",
    tasks: Names | None = None,
    size: tuple[int, int] | None = None,
    validation_share: float = 0.1,
    split_seed: int = 0,
) -> Suite:
    """NYUv2 as frameworks of the field distribute it: segmentation of 13 classes, depth, normals.

    Silberman et al., ECCV 2012, preprocessed by Liu et al., CVPR 2019 (MTAN): folders train and
    val, in each image, label, depth and normal with 0.npy, 1.npy, ... of 288x384 pixels. What is
    called val there is what results are reported on; here it is the test split.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder with train and val.
        tasks: which of segmentation, depth and normals.
        size: height and width that images and maps are resized to; default: as they are.
        validation_share: share of the training examples that validate; 0: none.
        split_seed: seed of their random choice.

    Raises:
        MtlError: naming the folder or file that is missing or does not fit.
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
    """Cityscapes as frameworks of the field distribute it: segmentation of 7 classes, disparity.

    Cordts et al., CVPR 2016, preprocessed by Liu et al., CVPR 2019 (MTAN): folders train and val,
    in each image, label and depth with 0.npy, 1.npy, ... of 128x256 pixels. What is called val
    there is what results are reported on; here it is the test split. What is called depth are
    inverse depths.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder with train and val.
        tasks: which of segmentation and disparity.
        size: height and width that images and maps are resized to; default: as they are.
        validation_share: share of the training examples that validate; 0: none.
        split_seed: seed of their random choice.

    Raises:
        MtlError: naming the folder or file that is missing or does not fit.
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
    """Folders by the split that their names say, in any of its usual names.

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
    """Tasks of folders, with what options say about them.

    Raises:
        MtlError: naming the option or folder.
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
