"""The suite ``table`` makes tasks of a table's columns and splits of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Examples, LazyInputs, SplitSizes, Suite, Task, colour_lines

from .column_tasks import Label, read_labels
from .columns import TextTable, read_table
from .duplicates import Policy
from .faults import Faults
from .image_files import ImageForm
from .labels import standardized
from .missing import Missing
from .options import Kinds, joined, rejoined
from .row_inputs import RowInputs
from .row_splits import given_splits, once, rows_by_split, split_column, split_columns

#: For every split the inputs that can be read, and their rows.
Read = Mapping[str, tuple[Tensor | LazyInputs, Int64[np.ndarray, " _"]]]


@dataclass(frozen=True)
class TablePlan:
    """A plan holds what a user says of a table.

    Args:
        inputs: name of the column with paths of pictures, or an .npy file.
        split: name of the column with names of splits; empty if there is none.
        tasks: names of the columns that are tasks, in order; ``None`` takes all that can be tasks.
        kinds: what single columns hold, by name; other columns are guessed.
        missing: the markers of missing values.
        standardize: whether columns of numbers are standardised by their training split.
        form: how pictures are read.
        sizes: sizes of the splits.
        stratify_by: name of the one column whose shares the splits keep; ``None`` takes those of
            all tasks with classes, an empty name none.
        duplicates: what happens to a picture in two splits.
    """

    inputs: str
    split: str
    tasks: Sequence[str] | None
    kinds: Kinds
    missing: Missing
    standardize: bool
    form: ImageForm
    sizes: SplitSizes
    stratify_by: str | None
    duplicates: Policy

    def suite(
        self, file: Path, root: Path, images: Path, encoding: str | None, faults: Faults
    ) -> Suite:
        """Make the suite of a table.

        Args:
            file: file of the table.
            root: folder of the data.
            images: folder that the paths of pictures start from.
            encoding: encoding of a text file; ``None`` recognises it.
            faults: the collection that gets what is wrong.

        Raises:
            MtlError: if something is wrong; the message says all that is.
        """
        text = read_table(file, faults, self.inputs, self._columns(), encoding)
        tasks = self.tasks and rejoined(self.tasks, text.names)
        split = split_column(text, self.split, [*(tasks or ()), *self.kinds])
        source = RowInputs.find(text.inputs, text, root, images, self.form)
        others = {text.inputs, self.split, split or text.inputs}
        labels, remarks = read_labels(text, file, tasks, others, self.kinds, self.missing, faults)
        chosen, twice = self._chosen(text, split, labels, source, file, faults)
        read = _read(source, chosen, file, faults)
        members = {name: good for name, (_, good) in read.items()}
        once, alike = source.once_in_pixels(members, self.duplicates, faults)
        if any(len(once[name]) < len(members[name]) for name in once):
            read = _read(source, once, file, faults)
        members = {name: good for name, (_, good) in read.items()}
        told_twice = [] if self.duplicates == "allow" else source.two_labels(labels, members)
        twice = [*twice, *alike, *told_twice]
        built = self._tasks(labels, read, source, file, text, faults)
        made = {task.name for task in built}
        notes = faults.settle([label.name for label in labels if label.name not in made])
        if not built:
            raise MtlError(f"suite 'table': skip_bad has left out every task in {file}")
        record: dict[str, Any] = {
            "kinds": {label.name: label.kind for label in labels},
            "rows": {name: [text.positions[row] for row in good] for name, good in members.items()},
            "left_out": faults.record(root),
            **(source.kinds(members) if self.form.check else {}),
        }
        twice += colour_lines(record.get("pictures", {}).get("colours", {}))
        if gaps := {label.name: dict(label.missing) for label in labels if label.missing}:
            record["missing"] = gaps
        if scales := standardized(built):
            record["standardized"] = scales
        told = [label.summary() for label in labels] + [*text.remarks, *source.remarks, *remarks]
        kept = [label for label in labels if label.name in made]
        told += [line for x in kept for line in (*x.rare(members), *x.constant(members))]
        return Suite("table", built, True, [*told, *twice, *notes], record)

    def _columns(self) -> set[str] | None:
        """Return the names of the columns that are looked at, or ``None`` for all."""
        if self.tasks is None:
            return None
        asked = {*self.tasks, *joined(self.tasks)}
        return {*split_columns(self.split), *asked, self.stratify_by or ""}

    def _chosen(
        self,
        text: TextTable,
        split: str | None,
        labels: Sequence[Label],
        source: RowInputs,
        file: Path,
        faults: Faults,
    ) -> tuple[Mapping[str, Int64[np.ndarray, " _"]], list[str]]:
        """Return the rows of every split, and lines that tell of pictures in two splits."""
        rows = given_splits(text, split, faults)
        if None in rows:
            rows = {**rows, None: once(rows[None], text, text.inputs, faults)}
        try:
            chosen = rows_by_split(rows, text, labels, self.stratify_by, self.sizes, file)
        except MtlError as error:
            doubts = [label.doubt for label in labels if label.doubt]
            if not faults.found and not doubts:
                raise
            for doubt in doubts:
                faults.add(str(file), doubt)
            faults.add(str(file), str(error).removeprefix(f"{file}: "))
            faults.stop()
        return source.once(chosen, self.duplicates, faults)

    def _tasks(
        self,
        labels: Sequence[Label],
        read: Read,
        source: RowInputs,
        file: Path,
        text: TextTable,
        faults: Faults,
    ) -> list[Task]:
        members = {name: good for name, (_, good) in read.items()}
        names = {name: source.names(good) for name, good in members.items()}
        contents = {name: source.contents(good) for name, good in members.items()}
        rest = {name: self.form.transforms.of(name).rest for name in read}
        built = []
        for label in labels:
            made = label.targets(members, file, text.places, faults, self.standardize)
            if made is None:
                continue
            objective, targets, labelled = made
            splits = {
                name: Examples(
                    inputs,
                    targets[name],
                    labelled[name],
                    transform=rest[name],
                    names=names[name],
                    contents=contents[name],
                )
                for name, (inputs, _) in read.items()
            }
            built.append(
                Task(
                    label.name,
                    objective,
                    splits["train"],
                    splits["test"],
                    splits.get("validation"),
                    normalization=self.form.transforms.normalization,
                    image_transform=self.form.prediction,
                    pictures=self.form.pictures,
                )
            )
        return built


def _read(
    source: RowInputs, chosen: Mapping[str, Int64[np.ndarray, " _"]], file: Path, faults: Faults
) -> Read:
    read = {}
    for name, wanted in chosen.items():
        inputs, good = source.read(name, wanted, faults)
        if inputs is None:
            faults.add(str(file), f"no input of the {name} split can be read")
            faults.stop()
        read[name] = inputs, good
    return read
