"""The suite ``arrays``: tasks from the arrays of one ``.npz`` file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Suite, Task, Transforms

from .array_tables import Form, Table, class_names, common_tasks
from .faults import Faults
from .labels import called_by, standardized
from .missing import Missing
from .npz import ArrayFile
from .options import Kinds, Names, NamesByTask, options_before
from .splits import SplitSizes
from .transformed import transformed


@options_before(standardize=False)
def arrays(
    *,
    path: str,
    data_root: str = ".",
    tasks: Names | None = None,
    inputs: str | None = None,
    labels: str = "labels",
    group_by: str | None = None,
    task_axis: bool = False,
    kind: Literal["auto", "classes", "binary", "numbers"] = "auto",
    kinds: Kinds | None = None,
    missing: NamesByTask | None = None,
    not_missing: NamesByTask | None = None,
    standardize: bool = True,
    channels: Literal["auto", "first", "last"] = "auto",
    size: int | None = None,
    transforms: dict[str, Any] | None = None,
    train_per_task: int | float | None = None,
    validation_per_task: int | float | None = None,
    test_per_task: int | float | None = None,
    split_seed: int = 0,
    skip_bad: bool = False,
) -> Suite:
    """Tasks from the arrays of your own .npz file: images or features, and labels.

    Arrays are found by name, in one of these layouts; each may have ``train_``, ``validation_``
    and ``test_`` in its name, one array a split:

    - ``TASK_images`` (or ``TASK_features``) and ``TASK_labels``: every task has its own inputs;
    - ``images`` and, for every name in ``tasks``, labels of that name: tasks have a common input;
    - ``images``, ``labels`` and the array that ``group_by`` names: a task a group, with the
      examples of that group, and labels that count within it;
    - with ``task_axis`` the first axis of inputs and labels is the task.

    An array ``TASK_split`` or ``split`` of texts names every row's split. Without splits, and
    where sizes are given, examples are chosen at random, stratified by class, the same for every
    seed of a run. ``NAME_packed`` holds bits of images of shape ``image_shape``; ``TASK_names`` or
    ``class_names`` what the classes are called, ``GROUP_names`` the groups.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 from 0 to 255, bool or floats.

    Args:
        path: of the file, within ``data_root``.
        data_root: folder of the data.
        tasks: names, in order, also as one text with commas; default: all that are found.
        inputs: name of the input arrays; default: ``images`` or ``features``. Braces make it a
            pattern, e.g. ``{split}_X``.
        labels: name of the label arrays, likewise.
        group_by: name of the array that says which task an example belongs to.
        task_axis: whether axis 0 is the task, axis 1 the example.
        kind: of the labels; ``auto``: numbers where they are floats or several a row, else
            classes; a run prints what every task was taken for.
        kinds: of the labels of single tasks: classes, binary or numbers.
        missing: values that mean "no label", of all tasks or by task, e.g. -1; ``nan``, and in
            texts what the suite ``table`` takes so, mean it anyway.
        not_missing: markers of missing values that are values after all, likewise, e.g. none.
        standardize: train on numbers as (number - mean) / deviation, both of the training split;
            metrics, predictions and exports are in the labels' own units all the same.
        channels: of images with four dimensions; ``auto``: where there are 1, 3 or 4.
        size: images are resized to this width and height, in pixels.
        transforms: further ones: lists under ``train`` and ``evaluation``, of names of
            torchvision.transforms.v2 or mappings with ``name`` and arguments.
        train_per_task: a number, or below 1 a share; default: all that other splits leave.
        validation_per_task: likewise; default: those that the file calls so, else none.
        test_per_task: likewise; default: the file's, else the rest, else a fifth.
        split_seed: of the choice of examples.
        skip_bad: leave out classes that are not in both training and test, and tasks that cannot
            be had, and count them, instead of refusing them.

    Raises:
        ProblemsError: with what is wrong in every task.
        MtlError: naming file, array and task, what was found and what is allowed.
    """
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    further = Transforms.from_config(transforms, "suite.transforms")
    if task_axis and group_by:
        raise MtlError("suite.task_axis and suite.group_by exclude each other")
    with ArrayFile(Path(data_root) / path) as file:
        marks = Missing(missing or (), not_missing or ())
        form = Form(kinds or {}, kind, marks, channels, size, sizes, standardize)
        names = [inputs] if inputs else ["images", "images_packed", "features"]
        faults = Faults("arrays", skip_bad)
        built: Sequence[Task | None]
        common_input = False
        if task_axis:
            built = _by_axis(file, tasks, names, labels, form, faults)
        elif group_by:
            built = _by_group(file, tasks, names, labels, group_by, form, faults)
        else:
            built, common_input = _by_name(file, tasks, names, labels, form, faults)
    notes = (*form.notes, *faults.settle())
    done = [task for task in built if task is not None]
    _check_tasks([task.name for task in done], form)
    if not done:
        raise MtlError(f"suite 'arrays': skip_bad has left out every task in {file.path}")
    left_out = faults.record(file.path.parent)
    record: dict[str, Any] = {"kinds": dict(form.found)}
    if scales := standardized(done):
        record["standardized"] = scales
    if left_out:
        record["left_out"] = left_out
    return transformed(Suite("arrays", done, common_input, notes, record), further)


def _by_name(
    file: ArrayFile,
    tasks: list[str] | None,
    names: list[str],
    labels: str,
    form: Form,
    faults: Faults,
) -> tuple[Sequence[Task | None], bool]:
    """Tasks with arrays of their own, or with labels of their own for common inputs."""
    tasks = tasks or file.owners(names) or [labels]
    tables: dict[str, Table] = {}
    columns = []
    for task in tasks:
        found = file.find(names, task)
        try:
            if found.what not in tables:
                tables[found.what] = Table(file, found, task if found.of_task else None)
            wanted = [labels] if found.of_task or task == labels else [task]
            column = file.find(wanted, task if found.of_task else None)
            columns.append((task, tables[found.what], tables[found.what].column(column)))
        except MtlError as error:
            faults.add(f"task {task!r}", str(error))
    if len(tasks) > 1 and len(tables) == 1 and columns:
        return common_tasks(columns, file, form, faults), True
    built = [
        form.task(task, table, table.rows, values, class_names(file, task, labels), faults)
        for task, table, values in columns
    ]
    return built, False


def _by_group(
    file: ArrayFile,
    tasks: list[str] | None,
    names: list[str],
    labels: str,
    group_by: str,
    form: Form,
    faults: Faults,
) -> list[Task | None]:
    """A task for every value of the array ``group_by``."""
    table = Table(file, file.find(names))
    groups, values = (table.column(file.find([name])) for name in (group_by, labels))
    members = np.unique(groups)
    built = []
    for task, group in _chosen(tasks, members, file.texts(f"{group_by}_names")):
        rows = {
            split: found[groups[found] == members[group]] for split, found in table.rows.items()
        }
        called = class_names(file, None, labels)
        built.append(form.task(task, table, rows, values, called, faults))
    return built


def _by_axis(
    file: ArrayFile,
    tasks: list[str] | None,
    names: list[str],
    labels: str,
    form: Form,
    faults: Faults,
) -> list[Task | None]:
    """A task for every position along axis 0."""
    inputs, targets = file.find(names), file.find([labels])
    lengths = {len(array) for array in (*inputs.arrays.values(), *targets.arrays.values())}
    if len(lengths) != 1:
        raise MtlError(
            f"{inputs.what}, {targets.what}: with suite.task_axis all should have one length along "
            f"axis 0, found {', '.join(map(str, sorted(lengths)))}"
        )
    built = []
    positions = np.arange(lengths.pop())
    for task, n in _chosen(tasks, positions, file.texts("task_names")):
        table = Table(file, inputs.at(n))
        values = table.column(targets.at(n))
        called = class_names(file, None, labels)
        built.append(form.task(task, table, table.rows, values, called, faults))
    return built


def _check_tasks(names: Sequence[str], form: Form) -> None:
    """Refuse options for tasks that do not exist."""
    known = list(dict.fromkeys([*names, *form.found]))
    for name in form.kinds:
        if name not in known:
            raise UnknownNameError("task in suite.kinds:", name, known)
    for error in form.missing.wrong(known):
        raise error


def _chosen(
    wanted: list[str] | None, values: np.ndarray, names: list[str]
) -> list[tuple[str, int]]:
    """Tasks and the positions of their values, all where none are wanted by name."""
    called = called_by(values, names)
    for task in wanted or ():
        if task not in called:
            raise UnknownNameError("task of suite 'arrays':", task, called)
    return [(task, called.index(task)) for task in wanted or called]
