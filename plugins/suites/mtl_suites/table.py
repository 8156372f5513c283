"""The suite ``table``: tasks from the columns of one table, all about the same inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Examples, PictureOptions, Suite, Task

from .column_tasks import Label, read_labels
from .columns import TextTable, read_table
from .duplicates import Policy
from .faults import Faults
from .image_files import ImageForm
from .labels import standardized
from .missing import Missing
from .options import Animated, Kinds, Names, NamesByTask, options_before
from .row_inputs import RowInputs
from .splits import DEFAULT_SHARE, SplitSizes, make_splits, split_name
from .stratify import codes


@options_before(standardize=False)
def table(
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
        inputs: column with paths of images, or of .npy files; or the path of one .npy file that
            holds the inputs of all rows, in their order: images or features.
        images_root: folder that the paths of images start from, within ``data_root``; default: the
            table's.
        split: column that names every row's split; there need be none.
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
    form = ImageForm.from_options(
        grey, size, transforms, check_images, PictureOptions(ground, value_range, animated)
    )
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    faults = Faults("table", skip_bad)
    file = Path(data_root) / path
    columns = None if tasks is None else {split, *tasks, *([stratify_by] if stratify_by else [])}
    text = read_table(file, faults, inputs, columns, encoding)
    images = file.parent if images_root is None else Path(data_root) / images_root
    source = RowInputs.find(inputs, text, Path(data_root), images, form)
    marks = Missing(missing or (), not_missing or ())
    labels, remarks = read_labels(text, file, tasks, {inputs, split}, kinds or {}, marks, faults)
    rows = _given(text, split, faults)
    if None in rows:
        rows = {**rows, None: _once(rows[None], text, inputs, faults)}
    chosen = _splits(rows, text, labels, stratify_by, sizes, file)
    chosen, twice = source.once(chosen, duplicates, faults)
    read = {}
    for name, wanted in chosen.items():
        found, good = source.read(name, wanted, faults)
        if found is None:
            faults.add(str(file), f"no input of the {name} split can be read")
            faults.stop()
        read[name] = found, good
    members = {name: good for name, (_, good) in read.items()}
    rest = {name: form.transforms.of(name).rest for name in read}
    built = []
    for label in labels:
        made = label.targets(members, file, text.places, faults, standardize)
        if made is None:
            continue
        objective, targets, labelled = made
        splits = {
            name: Examples(
                read[name][0],
                targets[name],
                labelled[name],
                transform=rest[name],
                names=source.names(members[name]),
            )
            for name in read
        }
        built.append(
            Task(
                label.name,
                objective,
                splits["train"],
                splits["test"],
                splits.get("validation"),
                normalization=form.transforms.normalization,
                image_transform=form.prediction,
                pictures=form.pictures,
            )
        )
    notes = (*twice, *faults.settle())
    if not built:
        raise MtlError(f"suite 'table': skip_bad has left out every task in {file}")
    record: dict[str, Any] = {
        "kinds": {label.name: label.kind for label in labels},
        "rows": {name: [text.positions[row] for row in good] for name, good in members.items()},
        "left_out": faults.record(Path(data_root)),
        **(source.kinds(members) if check_images else {}),
    }
    if gaps := {label.name: dict(label.missing) for label in labels if label.missing}:
        record["missing"] = gaps
    if scales := standardized(built):
        record["standardized"] = scales
    told = [label.summary() for label in labels] + [*text.remarks, *remarks]
    told += [line for label in labels for line in label.rare(members)]
    return Suite("table", built, True, [*told, *notes], record)


def _given(
    text: TextTable, split: str, faults: Faults
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """Rows by the split that they name; all under ``None`` where there is no such column."""
    cells = text.columns.get(split)
    if cells is None:
        return {None: np.arange(len(text.places))}
    found: dict[str | None, list[int]] = {}
    for row, cell in enumerate(cells):
        try:
            found.setdefault(split_name(cell), []).append(row)
        except MtlError as error:
            faults.add(text.places[row], f"column {split!r}: {error}")
    return {name: np.array(rows) for name, rows in found.items()}


def _once(
    rows: Int64[np.ndarray, " _"], text: TextTable, inputs: str, faults: Faults
) -> Int64[np.ndarray, " _"]:
    """The first row of every image: a second one could lie in another split."""
    first: dict[str, int] = {}
    for row in rows.tolist() if inputs in text.columns else ():
        path = text.columns[inputs][row]
        if path and first.setdefault(path, row) != row:
            faults.add(
                text.places[row],
                f"{path} stands in {text.places[first[path]]} already; an example is one row, with "
                "a column a task",
            )
    repeated = set(rows.tolist()) - set(first.values()) if first else set()
    empty = {row for row in repeated if not text.columns[inputs][row]}
    return np.array([row for row in rows.tolist() if row not in repeated - empty], np.int64)


def _splits(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    text: TextTable,
    labels: Sequence[Label],
    stratify_by: str | None,
    sizes: SplitSizes,
    file: Path,
) -> dict[str, Int64[np.ndarray, " _"]]:
    strata = [label.strata for label in labels if label.kind != "numbers"]
    if strata:
        strata += [label.strata for label in labels if label.kind == "numbers" and label.missing]
    if stratify_by:
        if stratify_by not in text.columns:
            raise UnknownNameError(f"column of {file} in stratify_by", stratify_by, text.names)
        strata = [codes(np.array(text.columns[stratify_by], dtype=str))]
    elif stratify_by is not None:
        strata = []
    if "validation" not in rows and sizes.validation is None:
        sizes = replace(sizes, validation=DEFAULT_SHARE)
    try:
        return make_splits(rows, strata or None, sizes, cut_test=True)
    except MtlError as error:
        raise MtlError(f"{file}: {error}") from None
