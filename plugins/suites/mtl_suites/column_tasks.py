"""Columns of a table become tasks: this module says which, what they hold, and their targets."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mtl_framework import MtlError, ProblemsError, UnknownNameError
from mtl_framework.data import Objective, Regression

from .class_checks import rare_classes, too_rare
from .class_hints import class_hints
from .columns import TextTable, parse_column
from .dates import AS_NUMBER, dates_among
from .decimals import has_decimal_commas, thousands
from .faults import Faults, listed
from .kinds import guess_column
from .labels import class_order, make_targets, scale_hints, summary
from .missing import Missing, told
from .options import Kind, Kinds, option
from .suspects import code_hints, constant_hints


@dataclass(frozen=True)
class Label:
    """A label is a column that is a task.

    Args:
        name: name of the column.
        kind: what the column holds: classes, binary or numbers.
        values: text or number of every row.
        present: whether a row has a value.
        missing: how often each marker stands in the column for a missing value.
        doubt: why a column of classes is perhaps no such task, for messages on its classes; empty
            if it is one.
    """

    name: str
    kind: Kind
    values: np.ndarray
    present: Bool[np.ndarray, " rows"]
    missing: Counter[str]
    doubt: str = ""

    def summary(self) -> str:
        """Return a line for the user: kind, classes or range, numbers of labelled and missing."""
        return summary(self.name, self.kind, self.values[self.present], int((~self.present).sum()))

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes in order; none if the column holds numbers."""
        if self.kind == "numbers":
            return []
        return class_order(np.unique(self.values[self.present]))

    @property
    def strata(self) -> Int64[np.ndarray, " rows"]:
        """Return the number of every row's class, by which splits are stratified.

        Rows without a value have -1; in a column of numbers all others have 0.
        """
        if self.kind == "numbers":
            return np.where(self.present, 0, -1)
        number = {name: n for n, name in enumerate(self.classes)}
        texts = self.values.astype(str).tolist()
        return np.array(
            [number[text] if has else -1 for text, has in zip(texts, self.present, strict=True)]
        )

    def rare(self, members: Mapping[str, Int64[np.ndarray, " _"]]) -> list[str]:
        """Return a line that names the classes with few examples, or none if all have enough.

        Args:
            members: rows of every split.
        """
        if self.kind == "numbers":
            return []
        return rare_classes(self.name, self.strata, self.classes, members)

    def constant(self, members: Mapping[str, Int64[np.ndarray, " _"]]) -> list[str]:
        """Lines on splits in which all labels are the same."""
        return constant_hints(self.name, self.kind, self.values, self.present, members)

    def targets(
        self,
        members: Mapping[str, Int64[np.ndarray, " _"]],
        file: Path,
        places: Sequence[str],
        faults: Faults,
        standardize: bool = False,
    ) -> tuple[Objective, dict[str, Tensor], dict[str, Tensor | None]] | None:
        """Return the objective, and by split the targets and masks.

        Args:
            members: rows of every split.
            file: the table's file, for messages.
            places: what every row is called in messages.
            faults: the collection that gets classes which training or test lacks, and splits
                without a label.
            standardize: whether targets that are numbers are standardised by their training split.

        Returns:
            ``None`` if the task cannot be made. A mask says which rows have a target.
        """
        where = f"{file}: task {self.name!r}"
        known, rare = self.present.copy(), ""
        if self.kind != "numbers":
            known, rare = self._of_known_classes(members, where, places, faults)
        without = [name for name, rows in members.items() if not known[rows].any()]
        if without and rare:
            return None  # because its classes are too rare, as is said
        if without:
            way = "; suite.validation_per_task=0 does without" if without == ["validation"] else ""
            faults.add(where, f"has no label in {' and '.join(without)}{way}")
            return None
        rows = np.concatenate(list(members.values()))
        values = self.values[rows[known[rows]]]
        order = class_order(np.unique(values)) if self.kind == "classes" else ()
        try:
            objective, coded = make_targets(values, self.kind, order=order)
        except MtlError as error:
            faults.add(where, str(error))
            return None
        everywhere = coded.new_zeros((len(known), *coded.shape[1:]))
        everywhere[torch.from_numpy(rows[known[rows]])] = coded
        if self.kind == "numbers" and standardize:
            train = members["train"]
            objective = Regression.standardized(everywhere[torch.from_numpy(train[known[train]])])
        targets = {name: everywhere[torch.from_numpy(found)] for name, found in members.items()}
        labelled: dict[str, Tensor | None] = {
            name: None if known[found].all() else torch.from_numpy(known[found])
            for name, found in members.items()
        }
        return objective, targets, labelled

    def _of_known_classes(
        self,
        members: Mapping[str, Int64[np.ndarray, " _"]],
        where: str,
        places: Sequence[str],
        faults: Faults,
    ) -> tuple[Bool[np.ndarray, " rows"], str]:
        """Return which rows have a class that training and test have, and which are too rare.

        The arguments are those of :meth:`targets`; ``where`` begins its messages.
        """
        more = f"; {self.doubt}" if self.doubt else ""
        lost, rare = too_rare(self.name, self.values, self.present, members, places)
        known = self.present & ~lost
        if rare:
            faults.add(where, rare + more)
        for name in ("train", "test"):
            others = np.concatenate([rows for split, rows in members.items() if split != name])
            here = self.values[members[name][known[members[name]]]]
            lacking = np.setdiff1d(self.values[others[known[others]]], here)
            if len(lacking) and len(here):
                names = listed([str(value) for value in lacking])
                has = others[known[others] & np.isin(self.values[others], lacking)]
                lacks = f"no {name} example has the class {names}"
                faults.add(where, f"{lacks} (as {places[has.min()]} has){more}")
                known &= ~np.isin(self.values, lacking)
        return known, rare


def read_labels(
    text: TextTable,
    file: Path,
    tasks: Sequence[str] | None,
    others: Collection[str],
    kinds: Kinds,
    missing: Missing,
    faults: Faults,
) -> tuple[list[Label], list[str]]:
    """Return the columns that are tasks, and lines for the user on them and on columns left out.

    Args:
        text: the table.
        file: the table's file, for messages.
        tasks: names of the columns that are tasks, in order; ``None`` takes all that can be tasks.
        others: names of columns that serve another purpose.
        kinds: what single columns hold, by name; other columns are guessed. A column that is named
            here is a task even if it does not look like one.
        missing: the markers of missing values.
        faults: the collection that gets cells which do not fit, and columns without any value.

    Raises:
        MtlError: if a column that is asked for does not exist, or no column is a task.
    """
    names = list(tasks or [name for name in text.names if name not in others])
    if not names:
        raise MtlError(f"{file} has no column for a task beside {listed(sorted(others))}")
    _check_names(names, text, file, kinds, missing)
    labels: list[Label] = []
    remarks: list[str] = []
    for name in names:
        asked = bool(tasks) or name in kinds
        if name in text.unread and asked:
            raise MtlError(f"{file}: column {name!r} {text.unread[name]}")
        if name in text.unread:
            remarks.append(f"column {name!r} {text.unread[name]}: left out")
            continue
        present, count = missing.mask(name, np.array(text.columns[name], dtype=str))
        if not present.any() and asked:
            faults.add(str(file), f"column {name!r} has no label at all")
        elif not present.any():
            remarks.append(f"column {name!r} has no value in any row: left out")
        else:
            labels += _label(
                text, name, kinds.get(name), bool(tasks), present, count, remarks, faults
            )
    if not labels and not faults.found:
        raise MtlError(
            f"{file} has no column for a task beside {listed(sorted(others))}: {'; '.join(remarks)}"
        )
    return labels, remarks


def _label(
    text: TextTable,
    name: str,
    kind: Kind | None,
    asked: bool,
    present: Bool[np.ndarray, " rows"],
    count: Counter[str],
    remarks: list[str],
    faults: Faults,
) -> list[Label]:
    """Return the task of a column that has values, or an empty list if it looks like no task.

    An index of the rows, for instance, is no task.
    """
    cells = text.columns[name]
    texts = [cells[row] for row in np.flatnonzero(present).tolist()]
    commas = text.decimal_commas and has_decimal_commas(texts)
    doubt = ""
    if kind is None:
        guess = guess_column(name, texts, commas)
        kind = guess.kind
        if kind is None and asked:
            kind = "classes"
            doubt = _date_hint(name, texts)
            way = option("kinds", name, "classes")
            remarks += [f"{doubt}; where classes are meant: {way}"] if doubt else []
        elif guess.remark:
            remarks.append(guess.remark)
        if kind is None:
            return []
    values, known = parse_column(name, cells, present, kind, text.places, faults, commas)
    if kind == "numbers" and text.decimal_commas:
        remarks += thousands(name, [cells[row] for row in np.flatnonzero(known)], commas)
    if line := told(name, count):
        remarks.append(line)
    if kind == "numbers" and known.any():
        remarks += scale_hints(name, values[known])
    remarks += code_hints(name, kind, values[known])
    if kind == "classes":
        remarks += class_hints(name, np.unique(values[known]).tolist())
    return [Label(name, kind, values, known, count, doubt)]


def _date_hint(name: str, texts: Sequence[str]) -> str:
    """Return what to do with a column of dates that is taken as classes; empty if it is none."""
    if not (example := dates_among(Counter(texts))):
        return ""
    what = f"column {name!r} looks like dates (e.g. {example}), and each is taken as a class"
    return f"{what}: leave it out of suite.tasks, or {AS_NUMBER}"


def _check_names(
    names: Sequence[str], text: TextTable, file: Path, kinds: Kinds, missing: Missing
) -> None:
    """Refuse names of columns in options that do not exist, all at once."""
    wrong: list[MtlError] = [
        UnknownNameError(f"task: column of {file}", name, text.names)
        for name in names
        if name not in text.names
    ]
    odd = [name for name in kinds if name not in names]
    wrong += [UnknownNameError("task in suite.kinds:", name, names) for name in odd]
    wrong += missing.wrong(names)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise ProblemsError([str(error) for error in wrong])
