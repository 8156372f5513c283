"""Arrays become tasks: rows are given labels and are divided into splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import (
    Examples,
    Objective,
    PictureOptions,
    Regression,
    SplitSizes,
    Task,
    flat_hints,
    image_hints,
    make_splits,
    to_features,
    to_images,
)

from .array_duplicates import without_copies
from .array_joins import Range, joined, joined_inputs
from .array_labels import Columns, Labels, as_whole
from .array_sizes import resized
from .array_splits import rows_of
from .class_checks import check_classes, common_classes, frequent_classes, rare_classes
from .class_hints import class_hints
from .duplicates import Policy
from .faults import Faults
from .kinds import Guess, guess_array
from .labels import make_targets, scale_hints, summary
from .missing import Missing, told
from .npz import ArrayFile, Found
from .options import Kind, Kinds
from .suspects import code_hints

_AS_THEY_ARE = PictureOptions()
_DTYPES = {"M": "dates, ", "m": "times, ", "c": "complex numbers, ", "V": "records, ", "O": ""}

Rows = Mapping[str | None, Int64[np.ndarray, " _"]]


class Table:
    """A table holds the inputs of all splits, one split behind the other.

    Args:
        file: the file of arrays, in which an array ``split`` may name the split of every row.
        found: the inputs.
        task: name of the task that the inputs belong to; ``None`` if several tasks read them.
        value_range: the two numbers that become black and white in images, if a user gives them.

    Attributes:
        are_images: whether the inputs have more than two axes and are not called features.
        rows: the rows of every split, and under ``None`` those that are in none yet.
        scaled: whether images of several dtypes were scaled to uint8 when they were joined.
        remarks: lines that tell a user how inputs were scaled.

    Raises:
        MtlError: if the inputs of the splits differ in shape or scale, or the array that names
            splits does not fit.
    """

    def __init__(
        self, file: ArrayFile, found: Found, task: str | None = None, value_range: Range = None
    ) -> None:
        self.what = found.what
        self.lengths = {
            split: len(array) if array.ndim else 0 for split, array in found.arrays.items()
        }
        self.are_images = "features" not in " ".join(found.names.values()) and any(
            array.ndim > 2 for array in found.arrays.values()
        )
        inputs = joined_inputs(found, self.are_images, value_range)
        self.inputs, self.scaled, self.remarks = inputs.array, inputs.scaled, inputs.remarks
        self.rows: dict[str | None, Int64[np.ndarray, " _"]] = {}
        begin = 0
        for split, length in self.lengths.items():
            self.rows[split] = np.arange(begin, begin + length)
            begin += length
        if None in self.rows:
            self.rows, lines = rows_of(file, found.what, begin, task)
            self.remarks = (*self.remarks, *lines)

    def name(self, row: int) -> str:
        """Return what a row is called in messages: its number in its own array, and the split."""
        ends = np.cumsum(list(self.lengths.values()))
        number = int(np.searchsorted(ends, row, side="right"))
        split = list(self.lengths)[number]
        begin = int(ends[number - 1]) if number else 0
        return f"row {row - begin}" + (f" of {split}" if split else "")

    def column(self, found: Found) -> Shaped[np.ndarray, "rows *numbers"]:
        """Return the entries of an array that has one entry for every row of the inputs.

        Raises:
            MtlError: if there are more or fewer entries than rows, or entries of another type.
        """
        lengths = {split: len(array) if array.ndim else 0 for split, array in found.arrays.items()}
        if lengths != self.lengths:
            last = self.inputs.ndim > 2 and self.inputs.shape[-1] == sum(lengths.values())
            raise MtlError(
                f"{found.what} should have one entry for every one of {self.what}, found "
                f"{_listed(lengths)} for {_listed(self.lengths)}"
                + ("; examples seem to be its last axis: numpy.moveaxis(..., -1, 0)" * last)
            )
        values: np.ndarray = joined(found)
        if values.dtype.kind == "S":
            values = values.astype(str)
        if values.dtype.kind not in "fiubU":
            raise MtlError(
                f"{found.what} should hold numbers or texts, found {_DTYPES.get(values.dtype.kind)}"
                f"{values.dtype}"
            )
        return values.reshape(-1) if values.shape[1:] == (1,) else values


def _listed(lengths: Mapping[str | None, int]) -> str:
    return " and ".join(f"{n} ({split})" if split else str(n) for split, n in lengths.items())


@dataclass(frozen=True)
class Form:
    """These options say what becomes of arrays; what is decided on the way is kept here, too.

    Args:
        kinds: what the labels of single tasks are, by task: classes, binary or numbers.
        kind: what the labels of all other tasks are; ``auto`` guesses.
        missing: the markers of missing labels.
        channels: position of the channels in images: ``auto``, ``first`` or ``last``.
        size: width and height in pixels that images are resized to; ``None`` leaves them.
        sizes: sizes of the splits.
        standardize: whether targets that are numbers are standardised by their training split.
        pictures: which numbers become black and white in images.
        notes: a list that gets lines for the user about every task.
        found: a dictionary that gets what the labels of every task are.
        divided: a dictionary that gets, by name, arrays with several labels in each row.
        duplicates: what happens to inputs that are in two splits.
    """

    kinds: Kinds
    kind: Literal["auto", "classes", "binary", "numbers"]
    missing: Missing
    channels: str
    size: int | None
    sizes: SplitSizes
    standardize: bool = False
    pictures: PictureOptions = _AS_THEY_ARE
    notes: list[str] = field(default_factory=list)
    found: dict[str, Kind] = field(default_factory=dict)
    divided: dict[str, Columns] = field(default_factory=dict)
    duplicates: Policy = "allow"

    def look_at(self, table: Table) -> None:
        """Note how inputs are read, where that is a guess."""
        self.notes.extend(table.remarks)
        if table.are_images:
            ranged = self.pictures.value_range is not None
            self.notes.extend(image_hints(table.inputs, self.channels, table.what, ranged))
        else:
            self.notes.extend(flat_hints(table.inputs, table.what))

    def decide(self, name: str, columns: Columns) -> None:
        """Keep and note what an array with several labels in each row is taken for."""
        self.notes.extend([columns.remark] if columns.remark else [])
        if columns.kind:
            self.divided[name] = columns

    def kind_of(self, task: str) -> Kind | None:
        """Return what a task's labels are if that is known, and ``None`` if it must be guessed."""
        if task in self.kinds:
            return self.kinds[task]
        of_array = (c.kind for c in self.divided.values() if task in [name for name, _ in c.parts])
        return next(of_array, None) or (None if self.kind == "auto" else self.kind)

    def labels(
        self,
        task: str,
        values: Shaped[np.ndarray, "rows *numbers"],
        rows: Rows,
        class_names: Sequence[str],
    ) -> Labels:
        """Find out what the labels of a task are and which of its rows have one, and note it.

        Raises:
            MtlError: if there is no example, or none with a label.
        """
        present, count = self.missing.mask(task, values)
        everything = np.concatenate([*rows.values(), np.arange(0)])
        mine = values[everything[present[everything]]]
        if not len(everything):
            raise MtlError("there is no example")
        if not len(mine):
            raise MtlError("has no label at all")
        given = self.kind_of(task)
        guess = Guess(given) if given else guess_array(task, mine)
        kind = self.found[task] = guess.kind or "classes"
        self.notes.extend([guess.remark] if guess.remark else [])
        lacking = len(everything) - len(mine)
        self.notes.append(summary(task, kind, mine, lacking, class_names))
        if line := told(task, count):
            self.notes.append(line)
        if kind == "numbers" and values.dtype.kind in "fiub":
            self.notes.extend(scale_hints(task, mine))
        self.notes.extend(code_hints(task, kind, mine))
        if kind == "classes" and values.dtype.kind == "U":
            self.notes.extend(class_hints(task, np.unique(mine).tolist()))
        if kind != "numbers" and values.dtype.kind == "f":
            values = as_whole(values, present)
        return Labels(task, kind, values, present)

    def task(
        self,
        name: str,
        table: Table,
        rows: Rows,
        values: Shaped[np.ndarray, "rows *numbers"],
        class_names: Sequence[str],
        faults: Faults,
    ) -> Task | None:
        """Make a task with inputs of its own; ``None``, and a fault, if it cannot be made."""
        where = f"{table.what}: task {name!r}"
        try:
            labels = self.labels(name, values, rows, class_names)
            rows = {split: labels.of(found) for split, found in rows.items()}
            rows = self.usable(table, rows, labels, where, faults)
            chosen, lines = without_copies(
                table, rows, self.split(rows, labels), self.duplicates, faults
            )
            self.notes.extend(lines)
            objective, targets, _ = self.targets(rows, labels, chosen, class_names)
            inputs = {split: self.inputs(table, found) for split, found in chosen.items()}
            if labels.kind != "numbers":
                self.notes.extend(rare_classes(name, labels.strata, labels.names, chosen))
            return self.finished(name, objective, inputs, targets, {})
        except MtlError as error:
            faults.add(where, str(error))
            return None

    def usable(self, table: Table, rows: Rows, labels: Labels, where: str, faults: Faults) -> Rows:
        """Return the rows without classes that are in one split only or too rare to be divided."""
        if labels.kind == "numbers":
            return rows
        rows = common_classes(rows, labels.values, where, faults, table.name)
        if set(rows) == {None}:
            rows = frequent_classes(rows, labels.values, self.sizes, where, faults, table.name)
        return rows

    def measured(
        self,
        labels: Labels,
        chosen: Mapping[str, Int64[np.ndarray, " _"]],
        table: Table,
        faults: Faults,
    ) -> Labels:
        """Return the labels without classes that are not in both training and test."""
        if labels.kind == "numbers":
            return labels
        where = f"{table.what}: task {labels.task!r}"
        known: Rows = {split: labels.of(found) for split, found in chosen.items()}
        kept = common_classes(known, labels.values, where, faults, table.name)
        usable = labels.only(np.concatenate(list(kept.values())))
        self.notes.extend(rare_classes(labels.task, usable.strata, usable.names, chosen))
        return usable

    def split(self, rows: Rows, labels: Labels) -> dict[str, Int64[np.ndarray, " _"]]:
        """Divide rows into splits, stratified by class where labels are not numbers."""
        return make_splits(rows, None if labels.kind == "numbers" else labels.values, self.sizes)

    def targets(
        self,
        rows: Rows,
        labels: Labels,
        chosen: Mapping[str, Int64[np.ndarray, " _"]],
        class_names: Sequence[str],
    ) -> tuple[Objective, dict[str, Tensor], dict[str, Tensor | None]]:
        """Return the objective, and by split the targets and masks.

        A mask says which rows have a label; it is ``None`` if all have. The classes are those of
        all rows, whether they are chosen for a split or not.

        Raises:
            MtlError: if a split has no label, or training or test lacks a class.
        """
        self.notes.extend(labels.constant(chosen))
        known = {split: labels.of(found) for split, found in chosen.items()}
        lacking = [split for split, found in known.items() if not len(found)]
        if lacking:
            raise MtlError(f"has no label in {' and '.join(lacking)}")
        if labels.kind != "numbers":
            check_classes({split: labels.values[found] for split, found in known.items()})
        everything = labels.of(np.concatenate(list(rows.values())))
        objective, coded = make_targets(labels.values[everything], labels.kind, class_names)
        everywhere = coded.new_zeros((len(labels.values), *coded.shape[1:]))
        everywhere[torch.from_numpy(everything)] = coded
        if labels.kind == "numbers" and self.standardize:
            objective = Regression.standardized(everywhere[torch.from_numpy(known["train"])])
        targets = {split: everywhere[torch.from_numpy(found)] for split, found in chosen.items()}
        masks = {
            split: None
            if len(known[split]) == len(found)
            else torch.from_numpy(labels.present[found])
            for split, found in chosen.items()
        }
        return objective, targets, masks

    def finished(
        self,
        name: str,
        objective: Objective,
        inputs: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        masks: Mapping[str, Tensor | None],
    ) -> Task:
        """Make a task of inputs, targets and masks by split."""
        splits = {s: Examples(inputs[s], targets[s], masks.get(s)) for s in inputs}
        return Task(
            name,
            objective,
            splits["train"],
            splits["test"],
            splits.get("validation"),
            pictures=self.pictures,
        )

    def inputs(self, table: Table, rows: Int64[np.ndarray, " _"]) -> Tensor:
        """Return the inputs of some rows as a tensor of images or features.

        Raises:
            MtlError: if an option does not fit the inputs.
        """
        if not table.are_images:
            if self.size is not None:
                raise MtlError("suite.size is for images, and these are features")
            return to_features(table.inputs[rows], table.what)
        ends = None if table.scaled else self.pictures.value_range
        images = to_images(table.inputs[rows], self.channels, table.what, ends)
        return images if self.size is None else resized(images, self.size)


def class_names(file: ArrayFile, task: str | None, labels: str) -> list[str]:
    """Return the names of classes that a file has for a task, a label array, or all labels."""
    keys = ([f"{task}_names"] if task is not None else []) + [f"{labels}_names"]
    keys += ["class_names", "label_names", "target_names"]
    return next((texts for texts in map(file.texts, keys) if texts), [])
