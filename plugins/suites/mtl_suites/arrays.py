"""The suite ``arrays`` makes tasks from the arrays of ``.npz`` or ``.mat`` files."""

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
from .options import Kinds, Names, NamesByTask, Together, options_before
from .other_tasks import digests_of, in_other_tasks
from .together import put_together
from .transformed import transformed


@options_before(standardize=False, duplicates="warn", split=SPLIT)
def arrays(  # longer than 60 lines: every option has a description
    *,
    path: str,
    data_root: str = ".",
    tasks: Names | None = None,
    inputs: str | None = None,
    labels: str = "labels",
    split: str | None = "auto",
    group_by: str | None = None,
    task_axis: bool = False,
    kind: Literal["auto", "classes", "binary", "numbers"] = "auto",
    kinds: Kinds | None = None,
    together: Together | None = None,
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
    """Make tasks from the arrays of your own .npz or .mat file: images or features, and labels.

    Arrays are found by name, in one of the layouts below. Where a file has an array for every
    split, ``train_``, ``validation_`` and ``test_`` are in their names. Other usual names
    (``x_train``, ``val_images``, ``data`` and ``target``) are understood where an array has none of
    these names:

    - ``TASK_images`` (or ``TASK_features``) and ``TASK_labels``: every task has its own inputs;
    - ``images`` and, for every name in ``tasks``, labels of that name: tasks have a common input;
    - ``images``, ``labels`` and the array that ``group_by`` names: every group of examples is a
      task, whose classes are the labels that occur in the group;
    - with ``task_axis`` the first axis of inputs and labels is the task.

    An array ``TASK_split`` or ``split`` of texts names every row's split, or arrays such as
    ``train_idx`` and ``test_mask`` say which rows are in a split. Without splits, and where sizes
    are given, examples are chosen at random, stratified by class, the same for every seed of a run.
    An array ``NAME_packed`` holds the bits of black and white images whose shape is
    in ``image_shape``. Names of classes are in ``TASK_names`` or ``class_names``, names of groups
    in ``GROUP_names``.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 from 0 to 255, bool or floats.

    Args:
        path: path, within ``data_root``, of the .npz or .mat file, or of a folder that has one such
            file for every split.
        data_root: folder that ``path`` starts from.
        tasks: names of the tasks, in order, as a list or as one text with commas; default: all
            tasks that are in the file.
        inputs: name of the input arrays; default: ``images`` or ``features``. Braces make it a
            pattern, e.g. ``{split}_X``.
        labels: name of the label arrays; braces make it a pattern, e.g. ``{split}_y``.
        split: name of the array of texts that name every row's split; empty: no array says it, and
            splits are made here; auto: arrays with a usual name that do, ``split`` or others.
        group_by: name of the array that says which task an example belongs to.
        task_axis: whether axis 0 of inputs and labels is the task, and axis 1 the example.
        kind: what labels are: classes, binary or numbers; ``auto`` takes floats, and several
            numbers in each row, as numbers, and all others as classes; a run prints what the labels
            of every task were taken for.
        kinds: what the labels of single tasks are, as a mapping from task to classes, binary or
            numbers; for labels with several columns of 0 and 1 numbers makes one task, and binary a
            task of every column.
        together: tasks about the same inputs that are one task, as a mapping from its name to their
            names: several that are binary, each of which may lack a label, or several of numbers,
            which a row has all or none of; default: every task stands alone.
        missing: values that mean "no label", as a list for all tasks or a mapping by task, e.g. -1;
            ``nan``, and texts such as NA that the suite ``table`` takes as missing, mean it anyway.
        not_missing: texts that usually mean "no label", but are labels in this file, as a list for
            all tasks or a mapping by task, e.g. none.
        standardize: whether training sees numbers as (number - mean) / deviation, both of the
            training split; metrics, predictions and exports are in the labels' own units all the
            same.
        channels: position of the channels in images with four dimensions: first (N, C, H, W), last
            (N, H, W, C), or auto, which takes the axis that has 1, 3 or 4 entries.
        size: width and height, in pixels, that images are resized to; default: as they are.
        value_range: the two numbers that become black and white in images; default: 0 and 255 for
            8 bits, 0 and 65535 for 16 bits, while floats stay as they are.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.
        train_per_task: number of training examples of each task, or below 1 a share of its
            examples; default: all that other splits leave.
        validation_per_task: number of validation examples of each task, or below 1 a share of its
            examples; default: the file's validation examples, or none if it has no such split.
        test_per_task: number of test examples of each task, or below 1 a share of its examples;
            default: the file's test examples; if it has none, all that other splits leave, or a
            fifth where ``train_per_task`` is not given.
        split_seed: seed of the random choice of a split's examples.
        skip_bad: whether classes that are not in both training and test, and tasks that cannot be
            made, are left out and counted; otherwise a run refuses them.
        duplicates: what happens to a picture that is in two splits: ``refuse`` ends a run if it is
            in training and test and the file names the splits, and otherwise prints a line; warn
            only prints lines (many published files have a few copies); allow does not look.

    Raises:
        ProblemsError: if tasks cannot be made; the message says what is wrong in every task.
        MtlError: if the file or an option is wrong; the message names file, array and task, what
            was found and what is allowed.
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
    file = ArrayFile(Path(data_root) / path, split or "")
    suite = _suite(file, wanted, form, Faults("arrays", skip_bad))
    return transformed(put_together(suite, together), further)


def _suite(file: ArrayFile, wanted: Wanted, form: Form, faults: Faults) -> Suite:
    path = file.path
    with file:
        built, common_input = wanted.built(file, form, faults)
    done = [task for task in built if task is not None]
    if not done and faults.found and not faults.skip:
        faults.stop()  # leaving out what is wrong would leave nothing
    if not common_input and len(done) > 1 and form.duplicates != "allow":
        form.notes.extend(in_other_tasks(digests_of(done)))
    names = [task.name for task in done]
    notes = (*form.notes, *faults.settle([name for name in form.found if name not in names]))
    _check_tasks(names, form)
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
