"""The layout of a file of arrays says which arrays are the inputs and labels of which task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Task, make_splits

from .array_duplicates import without_copies
from .array_labels import Labels, columns_of
from .array_names import LABELS
from .array_tables import Form, Table, class_names
from .faults import Faults, listed
from .labels import called_by
from .npz import ArrayFile


@dataclass(frozen=True)
class Wanted:
    """These options say which arrays of a file a user wants.

    Args:
        tasks: names of the tasks, in order; ``None`` takes all that are in the file.
        inputs: names that arrays of inputs may have, the preferred one first.
        labels: name of arrays of labels.
        group_by: name of the array that says which task an example belongs to; ``None`` if the file
            has no such array.
        task_axis: whether axis 0 of inputs and labels is the task.

    Raises:
        MtlError: if options exclude each other.
    """

    tasks: list[str] | None
    inputs: tuple[str, ...]
    labels: str
    group_by: str | None
    task_axis: bool

    def __post_init__(self) -> None:
        if self.task_axis and self.group_by:
            raise MtlError("suite.task_axis and suite.group_by exclude each other")

    def built(
        self, file: ArrayFile, form: Form, faults: Faults
    ) -> tuple[Sequence[Task | None], bool]:
        """Make the tasks of a file.

        Args:
            file: the arrays.
            form: what becomes of the arrays; gets lines for the user.
            faults: the collection that gets what is wrong with a task.

        Returns:
            the tasks, with ``None`` for one that cannot be made, and whether all tasks read the
            same inputs.

        Raises:
            MtlError: if no task can be made.
        """
        form.notes.extend(file.remarks)
        if self.task_axis:
            return _by_axis(self, file, form, faults), False
        if self.group_by:
            return _by_group(self, self.group_by, file, form, faults), False
        built, common = _by_name(self, file, form, faults)
        if self.tasks is None and (unread := file.unread()):
            form.notes.append(f"arrays that are not read: {listed(unread)}")
        return built, common


def _by_name(
    wanted: Wanted, file: ArrayFile, form: Form, faults: Faults
) -> tuple[Sequence[Task | None], bool]:
    """Make tasks that have arrays of their own, or labels of their own for common inputs."""
    tasks = wanted.tasks or file.owners(wanted.inputs) or _columns(wanted, file, form)
    tables: dict[str, Table] = {}
    columns = []
    for task in tasks:
        try:
            inputs = file.find(wanted.inputs, task)
            owner = task if inputs.of_task else None
            if inputs.what not in tables:
                tables[inputs.what] = Table(file, inputs, owner, form.pictures.value_range)
                form.look_at(tables[inputs.what])
            table = tables[inputs.what]
            by_itself = owner is None and task != wanted.labels
            column = table.column(file.find([task if by_itself else wanted.labels], owner))
            several = columns_of(
                task,
                column,
                form.kinds.get(task) or form.kind,
                class_names(
                    file, None if by_itself else owner, task if by_itself else wanted.labels
                ),
            )
            form.decide(task, several)
            columns += [(name, table, values) for name, values in several.parts]
        except MtlError as error:
            faults.add(f"task {task!r}", str(error))
    if len(columns) > 1 and len(tables) == 1:
        return _common_tasks(columns, file, form, faults), True
    built = [
        form.task(task, table, table.rows, values, class_names(file, task, wanted.labels), faults)
        for task, table, values in columns
    ]
    return built, False


def _common_tasks(
    columns: Sequence[tuple[str, Table, Shaped[np.ndarray, "rows *numbers"]]],
    file: ArrayFile,
    form: Form,
    faults: Faults,
) -> list[Task]:
    """Make tasks that read the same inputs; splits are stratified by the classes of all tasks.

    Tasks that cannot be made are left out, and ``faults`` gets the reason.
    """
    table = columns[0][1]
    found: list[tuple[Labels, list[str]]] = []
    for name, _, values in columns:
        names = file.texts(f"{name}_names")
        try:
            found.append((form.labels(name, values, table.rows, names), names))
        except MtlError as error:
            faults.add(f"{table.what}: task {name!r}", str(error))
    if not found:
        return []
    strata = [labels.strata for labels, _ in found if labels.kind != "numbers"]
    try:
        numbers = len(strata) < len(found)
        chosen = make_splits(table.rows, strata or None, form.sizes, others=numbers)
        chosen, told = without_copies(table, table.rows, chosen, form.duplicates, faults)
        form.notes.extend(told)
        inputs = {split: form.inputs(table, members) for split, members in chosen.items()}
    except MtlError as error:
        faults.add(table.what, str(error))
        return []
    built = []
    for labels, names in found:
        try:
            kept = form.measured(labels, chosen, table, faults)
            objective, targets, masks = form.targets(table.rows, kept, chosen, names)
            built.append(form.finished(labels.task, objective, inputs, targets, masks))
        except MtlError as error:
            faults.add(f"{table.what}: task {labels.task!r}", str(error))
    return built


def _columns(wanted: Wanted, file: ArrayFile, form: Form) -> list[str]:
    """Return the name of the labels, or of all arrays with an entry for every example.

    The latter are taken where the user names no labels and the file has no array ``labels``.
    """
    if wanted.labels != LABELS or file.find_any([LABELS]) is not None:
        return [wanted.labels]
    inputs = file.find_any(wanted.inputs)
    names = [] if inputs is None else file.columns(inputs)
    if names:
        form.notes.append(
            f"no array is called as labels are: every one with an entry for each input is a task: "
            f"{listed(names)}; suite.tasks names others"
        )
    return names or [wanted.labels]


def _by_group(
    wanted: Wanted, group_by: str, file: ArrayFile, form: Form, faults: Faults
) -> list[Task | None]:
    """Make a task of every value in the array ``group_by``."""
    table = Table(file, file.find(wanted.inputs), value_range=form.pictures.value_range)
    form.notes.extend(table.remarks)
    groups, values = (table.column(file.find([name])) for name in (group_by, wanted.labels))
    members = np.unique(groups)
    built = []
    for task, group in _chosen(wanted.tasks, members, file.texts(f"{group_by}_names")):
        rows = {
            split: found[groups[found] == members[group]] for split, found in table.rows.items()
        }
        called = class_names(file, None, wanted.labels)
        built.append(form.task(task, table, rows, values, called, faults))
    return built


def _by_axis(wanted: Wanted, file: ArrayFile, form: Form, faults: Faults) -> list[Task | None]:
    """Make a task of every position along axis 0."""
    inputs, targets = file.find(wanted.inputs), file.find([wanted.labels])
    lengths = {
        len(array) if array.ndim else 0
        for array in (*inputs.arrays.values(), *targets.arrays.values())
    }
    if len(lengths) != 1:
        raise MtlError(
            f"{inputs.what}, {targets.what}: with suite.task_axis all should have one length along "
            f"axis 0, found {', '.join(map(str, sorted(lengths)))}"
        )
    built = []
    positions = np.arange(lengths.pop())
    for task, n in _chosen(wanted.tasks, positions, file.texts("task_names")):
        table = Table(file, inputs.at(n), value_range=form.pictures.value_range)
        form.notes.extend(table.remarks)
        values = table.column(targets.at(n))
        called = class_names(file, None, wanted.labels)
        built.append(form.task(task, table, table.rows, values, called, faults))
    return built


def _chosen(
    wanted: list[str] | None, values: np.ndarray, names: list[str]
) -> list[tuple[str, int]]:
    """Return wanted tasks, or all of them, each with the position of its value in ``values``."""
    called = called_by(values, names)
    for task in wanted or ():
        if task not in called:
            raise UnknownNameError("task of suite 'arrays':", task, called)
    return [(task, called.index(task)) for task in wanted or called]
