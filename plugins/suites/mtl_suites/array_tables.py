"""From arrays to tasks: rows of several splits, their labels, the choice among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Examples, Objective, Task

from .class_checks import common_classes, frequent_classes
from .faults import Faults
from .labels import infer_kind, make_targets
from .npz import ArrayFile, Found, resized, to_features, to_images
from .splits import SplitSizes, check_classes, make_splits, split_name

Rows = Mapping[str | None, Int64[np.ndarray, " _"]]


class Table:
    """Inputs of all splits, one behind the other.

    Args:
        file: where the splits of the rows may be named.
        found: the inputs.
        task: whose inputs they are; ``None``: several tasks'.

    Attributes:
        rows: the rows of every split, under ``None`` those of none.

    Raises:
        MtlError: if the inputs of the splits differ in shape, or the array that names splits does
            not fit.
    """

    def __init__(self, file: ArrayFile, found: Found, task: str | None = None) -> None:
        self.what = found.what
        self.lengths = {split: len(array) for split, array in found.arrays.items()}
        self.inputs = _joined(found)
        self.rows: dict[str | None, Int64[np.ndarray, " _"]] = {}
        begin = 0
        for split, length in self.lengths.items():
            self.rows[split] = np.arange(begin, begin + length)
            begin += length
        named = file.find_any(["split"], task) if None in self.rows else None
        if named is not None:
            splits = _split_names(named, self.column(named))
            self.rows = {str(split): np.flatnonzero(splits == split) for split in np.unique(splits)}

    def name(self, row: int) -> str:
        """What a row is called in messages."""
        ends = np.cumsum(list(self.lengths.values()))
        number = int(np.searchsorted(ends, row, side="right"))
        split = list(self.lengths)[number]
        begin = int(ends[number - 1]) if number else 0
        return f"row {row - begin}" + (f" of {split}" if split else "")

    @cached_property
    def are_images(self) -> bool:
        """Whether the inputs are called or shaped so."""
        return "features" not in self.what and self.inputs.ndim in (3, 4)

    def column(self, found: Found) -> Shaped[np.ndarray, "rows *numbers"]:
        """One value a row.

        Raises:
            MtlError: if there are not as many as rows in every split.
        """
        lengths = {split: len(array) for split, array in found.arrays.items()}
        if lengths != self.lengths:
            raise MtlError(
                f"{found.what} should have one entry for every one of {self.what}, found "
                f"{_listed(lengths)} for {_listed(self.lengths)}"
            )
        return _joined(found)


def _split_names(found: Found, names: np.ndarray) -> np.ndarray:
    splits = []
    for row, name in enumerate(names):
        try:
            splits.append(split_name(str(name)))
        except MtlError as error:
            raise MtlError(f"{found.what}, row {row}: {error}") from None
    return np.array(splits)


def _joined(found: Found) -> np.ndarray:
    arrays = list(found.arrays.values())
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise MtlError(f"{found.what} should differ in their lengths only, found {shapes}")
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _listed(lengths: Mapping[str | None, int]) -> str:
    return " and ".join(f"{n} ({split})" if split else str(n) for split, n in lengths.items())


@dataclass(frozen=True)
class Form:
    """What becomes of arrays.

    Args:
        kind: of the labels, or ``auto``.
        channels: where images have them: ``auto``, ``first`` or ``last``.
        size: of the images in the end; ``None``: as they are.
        sizes: of the splits.
    """

    kind: Literal["auto", "classes", "binary", "numbers"]
    channels: str
    size: int | None
    sizes: SplitSizes

    def task(
        self,
        name: str,
        table: Table,
        rows: Rows,
        values: Shaped[np.ndarray, "rows *numbers"],
        class_names: Sequence[str],
        faults: Faults,
    ) -> Task | None:
        """A task with inputs of its own; ``None`` if it cannot be had, which ``faults`` gets."""
        where = f"{table.what}: task {name!r}"
        try:
            rows = self.usable(table, rows, values, where, faults)
            chosen = self.split(rows, values)
            objective, targets = self.targets(rows, values, chosen, class_names)
            inputs = {split: self.inputs(table, found) for split, found in chosen.items()}
            return _task(name, objective, inputs, targets)
        except MtlError as error:
            faults.add(where, str(error))
            return None

    def usable(
        self,
        table: Table,
        rows: Rows,
        values: Shaped[np.ndarray, "rows *numbers"],
        where: str,
        faults: Faults,
    ) -> Rows:
        """Rows without those of classes that are in one split only or too rare."""
        if not any(len(found) for found in rows.values()):
            raise MtlError("there is no example")
        if self._numbers(values):
            return rows
        rows = common_classes(rows, values, where, faults, table.name)
        if set(rows) == {None}:
            rows = frequent_classes(rows, values, self.sizes, where, faults, table.name)
        return rows

    def split(
        self, rows: Rows, values: Shaped[np.ndarray, "rows *numbers"]
    ) -> dict[str, Int64[np.ndarray, " _"]]:
        """Rows by split, those that are made here stratified where values are classes."""
        return make_splits(rows, None if self._numbers(values) else values, self.sizes)

    def targets(
        self,
        rows: Rows,
        values: Shaped[np.ndarray, "rows *numbers"],
        chosen: Mapping[str, Int64[np.ndarray, " _"]],
        class_names: Sequence[str],
    ) -> tuple[Objective, dict[str, Tensor]]:
        """Objective, and targets by split; classes are those of all rows, chosen or not."""
        kind = infer_kind(values) if self.kind == "auto" else self.kind
        if kind != "numbers":
            check_classes({split: values[found] for split, found in chosen.items()})
        everything = np.sort(np.concatenate(list(rows.values())))
        objective, targets = make_targets(values[everything], kind, class_names)
        places = {split: np.searchsorted(everything, found) for split, found in chosen.items()}
        return objective, {split: targets[torch.from_numpy(p)] for split, p in places.items()}

    def inputs(self, table: Table, rows: Int64[np.ndarray, " _"]) -> Tensor:
        """What the network reads."""
        if not table.are_images:
            if self.size is not None:
                raise MtlError("suite.size is for images, and these are features")
            return to_features(table.inputs[rows], table.what)
        images = to_images(table.inputs[rows], self.channels, table.what)
        return images if self.size is None else resized(images, self.size)

    def _numbers(self, values: Shaped[np.ndarray, "rows *numbers"]) -> bool:
        return (infer_kind(values) if self.kind == "auto" else self.kind) == "numbers"


def common_tasks(
    columns: Sequence[tuple[str, Table, Shaped[np.ndarray, "rows *numbers"]]],
    file: ArrayFile,
    form: Form,
    faults: Faults,
) -> list[Task]:
    """Tasks that read the same inputs; the splits are stratified by the first one's classes.

    Those that cannot be had are left out, which ``faults`` gets.
    """
    task, table, first = columns[0]
    try:
        rows = form.usable(table, table.rows, first, f"{table.what}: task {task!r}", faults)
        chosen = form.split(rows, first)
        inputs = {split: form.inputs(table, found) for split, found in chosen.items()}
    except MtlError as error:
        faults.add(table.what, str(error))
        return []
    built = []
    for name, _, values in columns:
        try:
            names = file.texts(f"{name}_names")
            objective, targets = form.targets(rows, values, chosen, names)
            built.append(_task(name, objective, inputs, targets))
        except MtlError as error:
            faults.add(f"{table.what}: task {name!r}", str(error))
    return built


def class_names(file: ArrayFile, task: str | None, labels: str) -> list[str]:
    """What a file calls the classes of a task, of a label array, or of all its labels."""
    keys = ([f"{task}_names"] if task is not None else []) + [f"{labels}_names", "class_names"]
    return next((texts for texts in map(file.texts, keys) if texts), [])


def _task(
    name: str, objective: Objective, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> Task:
    splits = {split: Examples(inputs[split], targets[split]) for split in inputs}
    return Task(name, objective, splits["train"], splits["test"], splits.get("validation"))
