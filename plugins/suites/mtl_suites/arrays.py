"""The suite ``arrays``: tasks from the arrays of one ``.npz`` or ``.mat`` file, or one a split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import PictureOptions, SplitSizes, Suite, Transforms

from .array_layouts import Wanted
from .array_names import INPUTS
from .array_splits import SPLIT
from .array_tables import Form
from .duplicates import Policy
from .faults import Faults
from .labels import standardized
from .missing import Missing
from .npz import ArrayFile
from .options import Kinds, Names, NamesByTask, options_before
from .transformed import transformed


@options_before(standardize=False, duplicates="warn", split=SPLIT)
def arrays(  # longer than 60 lines: an option each, and what it means
    *,
    path: str,
    data_root: str = ".",
    tasks: Names | None = None,
    inputs: str | None = None,
    labels: str = "labels",
    split: str | None = None,
    group_by: str | None = None,
    task_axis: bool = False,
    kind: Literal["auto", "classes", "binary", "numbers"] = "auto",
    kinds: Kinds | None = None,
    missing: NamesByTask | None = None,
    not_missing: NamesByTask | None = None,
    standardize: bool = True,
    channels: Literal["auto", "first", "last"] = "auto",
    size: int | None = None,
    value_range: tuple[float, float] | None = None,
    transforms: dict[str, Any] | None = None,
    train_per_task: int | float | None = None,
    validation_per_task: int | float | None = None,
    test_per_task: int | float | None = None,
    split_seed: int = 0,
    skip_bad: bool = False,
    duplicates: Policy = "refuse",
) -> Suite:
    """Tasks from the arrays of your own .npz or .mat file: images or features, and labels.

    Arrays are found by name, in one of these layouts; each may have ``train_``, ``validation_``
    and ``test_`` in its name, one array a split. Other usual names (``x_train``, ``val_images``,
    ``data`` and ``target``) are understood where none is called so:

    - ``TASK_images`` (or ``TASK_features``) and ``TASK_labels``: every task has its own inputs;
    - ``images`` and, for every name in ``tasks``, labels of that name: tasks have a common input;
    - ``images``, ``labels`` and the array that ``group_by`` names: a task a group, with the
      examples of that group, and labels that count within it;
    - with ``task_axis`` the first axis of inputs and labels is the task.

    An array ``TASK_split`` or ``split`` of texts names every row's split, or arrays such as
    ``train_idx`` and ``test_mask`` say which rows are in one. Without splits, and where sizes are
    given, examples are chosen at random, stratified by class, the same for every seed of a run.
    ``NAME_packed`` holds bits of images of shape ``image_shape``; ``TASK_names`` or ``class_names``
    what the classes are called, ``GROUP_names`` the groups.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 from 0 to 255, bool or floats.

    Args:
        path: path of the .npz or .mat file, or of a folder with one a split, within ``data_root``.
        data_root: folder that ``path`` starts from.
        tasks: names of the tasks, in order, also as one text with commas; default: all that are in
            the file.
        inputs: name of the input arrays; default: ``images`` or ``features``. Braces make it a
            pattern, e.g. ``{split}_X``.
        labels: name of the label arrays; braces make it a pattern, e.g. ``{split}_y``.
        split: name of the array of texts that name every row's split; empty: no array says it, and
            splits are made here; default: arrays with a usual name that do.
        group_by: name of the array that says which task an example belongs to.
        task_axis: whether axis 0 is the task, axis 1 the example.
        kind: what labels are: classes, binary or numbers; ``auto``: numbers where they are floats
            or several a row, else classes; a run prints what every task was taken for.
        kinds: what the labels of single tasks are, by task: classes, binary or numbers; labels with
            several columns of 0 and 1: the numbers of one task, or a task a column.
        missing: values that mean "no label", of all tasks or by task, e.g. -1; ``nan``, and texts
            that the suite ``table`` takes so, mean it anyway.
        not_missing: markers of missing values that are values after all, of all tasks or by task,
            e.g. none.
        standardize: whether training sees numbers as (number - mean) / deviation, both of the
            training split; metrics, predictions and exports are in the labels' own units all the
            same.
        channels: position of the channels in images with four dimensions: first, last, or auto:
            where there are 1, 3 or 4 of them.
        size: width and height, in pixels, that images are resized to; default: as they are.
        value_range: the two numbers that become black and white in images of whole numbers or
            floats; default: the range of 8 or 16 bits, floats as they are.
        transforms: further transforms of images: lists under ``train`` and ``evaluation``, of names
            of torchvision.transforms.v2 or mappings with ``name`` and arguments.
        train_per_task: number of training examples of each task, or below 1 a share of its
            examples; default: all that other splits leave.
        validation_per_task: number of validation examples of each task, or below 1 a share of its
            examples; default: those that the file calls so, else none.
        test_per_task: number of test examples of each task, or below 1 a share of its examples;
            default: those that the file calls so, else the rest, else a fifth.
        split_seed: seed of the random choice of a split's examples.
        skip_bad: whether classes that are not in both training and test, and tasks that cannot be
            had, are left out and counted instead of refused.
        duplicates: what happens to a picture that is in two splits: refuse those in training and
            test where the file names the splits and tell of others, warn of all (many published
            files have a few), or allow.

    Raises:
        ProblemsError: with what is wrong in every task.
        MtlError: naming file, array and task, what was found and what is allowed.
    """
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    further = Transforms.from_config(transforms, "suite.transforms")
    wanted = Wanted(tasks, (inputs,) if inputs else INPUTS, labels, group_by, task_axis)
    marks = Missing(missing or (), not_missing or ())
    pictures = PictureOptions(value_range=value_range)
    form = Form(
        kinds or {},
        kind,
        marks,
        channels,
        size,
        sizes,
        standardize,
        pictures,
        duplicates=duplicates,
    )
    file = ArrayFile(Path(data_root) / path, split)
    suite = _suite(file, wanted, form, Faults("arrays", skip_bad))
    return transformed(suite, further)


def _suite(file: ArrayFile, wanted: Wanted, form: Form, faults: Faults) -> Suite:
    path = file.path
    with file:
        built, common_input = wanted.built(file, form, faults)
    done = [task for task in built if task is not None]
    if not done and faults.found and not faults.skip:
        faults.stop()  # leaving out what is wrong would leave nothing
    notes = (*form.notes, *faults.settle())
    _check_tasks([task.name for task in done], form)
    if not done:
        raise MtlError(f"suite 'arrays': skip_bad has left out every task in {path}")
    left_out = faults.record(path.parent)
    record: dict[str, Any] = {"kinds": dict(form.found)}
    if scales := standardized(done):
        record["standardized"] = scales
    if left_out:
        record["left_out"] = left_out
    return Suite("arrays", done, common_input, notes, record)


def _check_tasks(names: Sequence[str], form: Form) -> None:
    """Refuse options for tasks that do not exist."""
    known = list(dict.fromkeys([*names, *form.found]))
    for name in form.kinds:
        if name not in known and name not in form.divided:
            raise UnknownNameError("task in suite.kinds:", name, known)
    for error in form.missing.wrong(known):
        raise error
