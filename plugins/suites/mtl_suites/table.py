"""The suite ``table``: tasks from the columns of one table, all about the same inputs."""

from pathlib import Path
from typing import Any

from mtl_framework.data import PictureOptions, SplitSizes, Suite

from .duplicates import Policy
from .faults import Faults
from .image_files import ImageForm
from .missing import Missing
from .options import Animated, Kinds, Names, NamesByTask, options_before
from .table_plan import TablePlan


@options_before(standardize=False)
def table(  # longer than 60 lines: an option each, and what it means; the work is in TablePlan
    *,
    path: str,
    data_root: str = ".",
    inputs: str = "image",
    images_root: str | None = None,
    split: str = "split",
    tasks: Names | None = None,
    kinds: Kinds | None = None,
    missing: NamesByTask | None = None,
    not_missing: NamesByTask | None = None,
    encoding: str | None = None,
    standardize: bool = True,
    size: int | None = None,
    grey: bool = False,
    ground: str = "white",
    value_range: tuple[float, float] | None = None,
    animated: Animated = "refuse",
    transforms: dict[str, Any] | None = None,
    train_per_task: int | float | None = None,
    validation_per_task: int | float | None = None,
    test_per_task: int | float | None = None,
    stratify_by: str | None = None,
    split_seed: int = 0,
    skip_bad: bool = False,
    check_images: bool = True,
    duplicates: Policy = "refuse",
) -> Suite:
    """Tasks from the columns of your own CSV or Parquet file, all about the same images.

    A row is an example: a path of an image, perhaps the split it belongs to (train, validation,
    test), and a column a task. **An empty cell means: no label for this task**, and so do ``nan``,
    ``NA``, ``N/A``, ``null``, ``None``, ``?`` and ``-``; the example then takes part only in those
    it has labels for. A column of 0 and 1 is binary, one of texts or of a few whole numbers
    classes, one of decimals or of many whole numbers numbers, unless ``kinds`` says otherwise; an
    index and dates are no task. A run prints what every column was taken for.

    Splits that the file does not have are made at random, stratified, the same for every seed of a
    run; which row is where is kept in the run's ``data.json``.

    Args:
        path: path of the file, within ``data_root``: text with commas, semicolons or tabs between
            cells, or Parquet (.parquet).
        data_root: folder that ``path`` starts from.
        inputs: column with paths of images, or of .npy files, with or without their suffix; or the
            path of one .npy file that holds the inputs of all rows, in their order: images or
            features. Where there is no column ``image``, the only one with names of pictures.
        images_root: folder that the paths of images start from, within ``data_root``; default: the
            table's.
        split: column that names every row's split. Where there is no column ``split``, the only
            one that holds nothing but names of splits; empty: none.
        tasks: columns that are tasks, in order; default: all others that can be tasks.
        kinds: what columns are, by column, where that should not be inferred: classes, binary or
            numbers.
        missing: further texts that mean "no label", in all columns or by column, e.g. -999.
        not_missing: markers of missing values that are values after all, in all columns or by
            column, e.g. none.
        standardize: whether training sees columns of numbers as (number - mean) / deviation, both
            of the training split; metrics, predictions and exports are in the column's own units
            all the same.
        encoding: encoding of a text file, e.g. utf-8, cp1252 or gbk; default: recognised.
        size: width and height, in pixels, that images are resized to; default: as they are.
        grey: whether images get one channel instead of three.
        ground: colour behind the transparent parts of images, a name or like #ffffff.
        value_range: the two numbers that become black and white in images of 16 bits, whole numbers
            or floats; default: the range of the bits, for floats 0 to 1.
        animated: what happens to files of several pictures (animations, pages): they are refused,
            or the first picture is taken.
        transforms: further transforms of images: lists under ``train`` and ``evaluation``, of names
            of torchvision.transforms.v2 or mappings with ``name`` and arguments.
        train_per_task: number of training examples of each task, or below 1 a share of its
            examples; default: all that other splits leave.
        validation_per_task: number of validation examples of each task, or below 1 a share of its
            examples; default: the file's own, else a fifth; 0: none.
        test_per_task: number of test examples of each task, or below 1 a share of its examples;
            default: the file's own, else a fifth.
        stratify_by: the one column of classes whose shares the splits keep; default: all tasks with
            classes, the rarest ones first; empty: none.
        split_seed: seed of the random choice of a split's examples.
        skip_bad: whether rows and images that cannot be read, labels that do not fit or whose class
            is not in both training and test, and tasks without labels are left out and counted
            instead of refused.
        check_images: whether every image is read before training, so that all damaged ones are
            named at once; false: where images are too many for memory, damaged ones are noticed
            when they are needed.
        duplicates: what happens to a picture that is in two splits, also by another path, as a copy
            or a link: refuse those in training and test and tell of the others, warn of all, or
            allow.

    Raises:
        ProblemsError: with everything that is wrong in the file and its images.
        MtlError: naming an option, what was found and what is allowed.
    """
    plan = TablePlan(
        inputs=inputs,
        split=split,
        tasks=tasks,
        kinds=kinds or {},
        missing=Missing(missing or (), not_missing or ()),
        standardize=standardize,
        form=ImageForm.from_options(
            grey, size, transforms, check_images, PictureOptions(ground, value_range, animated)
        ),
        sizes=SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed),
        stratify_by=stratify_by,
        duplicates=duplicates,
    )
    file, root = Path(data_root) / path, Path(data_root)
    images = file.parent if images_root is None else root / images_root
    return plan.suite(file, root, images, encoding, Faults("table", skip_bad))
