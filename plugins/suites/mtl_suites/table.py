"""The suite ``table`` makes tasks from the columns of one table, all about the same inputs."""

from pathlib import Path
from typing import Any

from mtl_framework.data import PictureOptions, SplitSizes, Suite

from .duplicates import Policy
from .faults import Faults
from .image_files import ImageForm
from .missing import Missing
from .options import Animated, Kinds, Names, NamesByTask, Together, options_before
from .table_plan import TablePlan
from .together import put_together


@options_before(standardize=False)
def table(  # longer than 60 lines: every option has a description; the work is in TablePlan
    *,
    path: str,
    data_root: str = ".",
    inputs: str = "image",
    images_root: str | None = None,
    split: str | None = "split",
    tasks: Names | None = None,
    kinds: Kinds | None = None,
    together: Together | None = None,
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
    """Make tasks from the columns of your own CSV or Parquet file, all about the same images.

    A row is an example, with the path of an image, possibly the split it belongs to (train,
    validation, test), and a column for every task. **An empty cell means: no label for this task**,
    and so do ``nan``, ``NA``, ``N/A``, ``null``, ``None``, ``?`` and ``-``; the example then counts
    only for tasks that it has labels of. A column of 0 and 1 is binary, a column of texts or of few
    different whole numbers has classes, a column of decimals or of many different whole numbers has
    numbers, unless ``kinds`` says otherwise; an index and dates are no task. A run prints what
    every column was taken for.

    Splits that the file does not have are made at random, stratified, the same for every seed of a
    run. The run's ``data.json`` says which row is in which split.

    Args:
        path: path of the file, within ``data_root``: text with commas, semicolons or tabs between
            cells, or Parquet (.parquet).
        data_root: folder that ``path`` starts from.
        inputs: name of the column with paths of images, or of .npy files, with or without their
            suffix; or path of one .npy file that holds the inputs of all rows, images or features,
            in the order of the rows. If there is no column ``image``, the default is the only
            column with names of pictures.
        images_root: folder, within ``data_root``, that the paths of images start from; default: the
            folder of the table.
        split: name of the column that names every row's split; an empty name ignores such columns.
            If there is no column ``split``, the default is the only column that holds nothing but
            names of splits.
        tasks: names of the columns that are tasks, in order; default: all other columns that can be
            tasks.
        kinds: what single columns are, as a mapping from column to classes, binary or numbers;
            default: what their cells look like.
        together: columns that are one task, as a mapping from the task's name to names of columns:
            several that are binary, each of which may lack a label, or several of numbers, which a
            row has all or none of; default: every column is a task.
        missing: further texts that mean "no label", as a list for all columns or a mapping by
            column, e.g. -999.
        not_missing: texts that usually mean "no label", but are labels in this file, as a list for
            all columns or a mapping by column, e.g. none.
        standardize: whether training sees columns of numbers as (number - mean) / deviation, both
            of the training split; metrics, predictions and exports are in the column's own units
            all the same.
        encoding: encoding of a text file, e.g. utf-8, cp1252 or gbk; default: it is recognised.
        size: width and height, in pixels, that images are resized to; default: as they are.
        grey: whether images get one channel instead of three.
        ground: colour behind the transparent parts of images, by name or as #ffffff.
        value_range: the two numbers that become black and white in images of 16 bits, whole numbers
            or floats; default: 0 and 65535 for 16 bits, 0 and 1 for floats; other whole numbers
            need this option.
        animated: what happens to files of several pictures (animations, pages): refuse, or first,
            which takes the first picture.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.
        train_per_task: number of training examples of each task, or below 1 a share of its
            examples; default: all that other splits leave.
        validation_per_task: number of validation examples of each task, or below 1 a share of its
            examples; default: the file's validation examples, or a fifth if it has no such split; 0
            makes no such split.
        test_per_task: number of test examples of each task, or below 1 a share of its examples;
            default: the file's test examples, or a fifth if it has no such split.
        stratify_by: name of the one column of classes whose shares are the same in all splits; an
            empty name keeps no shares; default: those of all tasks with classes, the rarest classes
            first.
        split_seed: seed of the random choice of a split's examples.
        skip_bad: whether rows and images that cannot be read, labels that do not fit or whose class
            is not in both training and test, and tasks without labels are left out and counted;
            otherwise a run refuses them.
        check_images: whether every image is read before training, so that all damaged ones are
            named at once; with false, images that are too many for memory are not, and damaged ones
            are noticed when they are needed.
        duplicates: what happens to a picture that is in two splits, also by another path, as a
            copy, as a link or in another format: refuse ends a run if it is in training and test,
            and otherwise prints a line; warn only prints lines; allow does not look.

    Raises:
        ProblemsError: if the file or its images are faulty; the message says all that is wrong.
        MtlError: if an option is wrong; the message names it, its value, and what is allowed.
    """
    plan = TablePlan(
        inputs=inputs,
        split=split or "",
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
    suite = plan.suite(file, root, images, encoding, Faults("table", skip_bad))
    return put_together(suite, together)
