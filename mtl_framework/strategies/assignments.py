"""Assignments can be known before training: hand-made, or found by an earlier run."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int64
from pydantic import BaseModel, Field, PrivateAttr, model_validator
from torch import Tensor

from ..networks.result import Result
from ..support.errors import MtlError, UnknownNameError
from .strategy import StrategyConfig

Groups = Literal["shared", "own"] | list[int]
Earlier = dict[str, list[list[int]]]  # group numbers, a row a unit, by the path of a run
SOURCES = ("pattern", "matrix", "from_run", "shared_first")


class GivenAssignment(StrategyConfig):
    """These options name an assignment: exactly one of the ways to give it.

    A strategy's options can inherit these, or hold them under a key of their own.
    """

    pattern: dict[str, Groups] | None = Field(
        None,
        description="who shares which units: unit name or glob -> shared, own, or a group "
        "number for every task; the first match counts",
    )
    matrix: list[list[int]] | None = Field(
        None,
        description="group numbers, a row a unit, a column a task: tasks with equal numbers in "
        "a row share that unit",
    )
    from_run: str | None = Field(
        None, description="folder or result.json of an earlier run, whose final assignment is used"
    )
    shared_first: int | Literal["half"] | None = Field(
        None,
        description="number of units, from the input on, that all tasks share, while the others "
        "are not shared; half: U // 2",
    )

    _earlier: Earlier | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _exactly_one(self) -> "GivenAssignment":
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"should have exactly one of {', '.join(SOURCES)}, "
                f"found {' and '.join(given) or 'none'}"
            )
        return self

    def groups(self, units: Sequence[str], tasks: Sequence[str]) -> Int64[Tensor, "units tasks"]:
        """Return group numbers: tasks with equal numbers in a row share that unit.

        Raises:
            MtlError: if the assignment does not fit these units and tasks.
        """
        if self.pattern is not None:
            return _by_pattern(self.pattern, units, len(tasks))
        if self.matrix is not None:
            return _by_matrix(self.matrix, len(units), len(tasks))
        if self.from_run is not None:
            return _from_run(Path(self.from_run), units, tasks, self._earlier)
        return _by_position(self.shared_first, len(units), len(tasks))


def holds_given(options: object) -> bool:
    """Say whether options, or one of them anywhere, give an assignment."""
    if isinstance(options, GivenAssignment):
        return True
    if isinstance(options, BaseModel):
        options = {name: getattr(options, name) for name in type(options).model_fields}
    if isinstance(options, Mapping):
        options = list(options.values())
    return isinstance(options, list | tuple) and any(map(holds_given, options))


def take_from(known: Earlier, options: object) -> None:
    """Let ``from_run``, anywhere in options, use known assignments, and add what it reads.

    Args:
        known: assignments of earlier runs by path; changed when ``groups`` is called.
        options: options of a strategy.
    """
    if isinstance(options, GivenAssignment):
        options._earlier = known
    if isinstance(options, BaseModel):
        options = {name: getattr(options, name) for name in type(options).model_fields}
    if isinstance(options, Mapping):
        options = list(options.values())
    if isinstance(options, (list, tuple)):
        for option in options:
            take_from(known, option)


def renumber(groups: Int64[Tensor, "units tasks"]) -> Int64[Tensor, "units tasks"]:
    """Number equal groups 0, 1, ... in each row: an assignment without unused weights."""
    return torch.stack([row.unique(return_inverse=True)[1] for row in groups])


def _by_pattern(
    patterns: Mapping[str, Groups], units: Sequence[str], tasks: int
) -> Int64[Tensor, "units tasks"]:
    for pattern, value in patterns.items():
        if not any(fnmatchcase(unit, pattern) for unit in units):
            raise UnknownNameError("unit in pattern", pattern, units)
        if isinstance(value, list):
            _check_row(f"pattern {pattern!r}", value, tasks)
    rows = []
    for unit in units:
        matching = [value for pattern, value in patterns.items() if fnmatchcase(unit, pattern)]
        if not matching:
            raise MtlError(
                f"pattern: unit {unit!r} matches none of {', '.join(patterns)}; add '*' for the "
                "rest"
            )
        named = {"shared": [0] * tasks, "own": list(range(tasks))}
        value = matching[0]
        rows.append(value if isinstance(value, list) else named[value])
    return torch.tensor(rows)


def _by_matrix(matrix: Sequence[list[int]], units: int, tasks: int) -> Int64[Tensor, "units tasks"]:
    if len(matrix) != units:
        raise MtlError(f"matrix should have {units} rows, one a unit, found {len(matrix)}")
    for number, row in enumerate(matrix):
        _check_row(f"matrix row {number}", row, tasks)
    return torch.tensor(matrix)


def _check_row(where: str, row: Sequence[int], tasks: int) -> None:
    if len(row) != tasks:
        raise MtlError(f"{where} should have {tasks} numbers, one a task, found {len(row)}")
    if min(row) < 0:
        raise MtlError(f"{where}: group numbers should be at least 0, found {min(row)}")


def _from_run(
    path: Path, units: Sequence[str], tasks: Sequence[str], known: Earlier | None
) -> Int64[Tensor, "units tasks"]:
    if known is not None and str(path) in known:
        return _by_matrix(known[str(path)], len(units), len(tasks))
    earlier = Result.load(path).assignment
    if earlier is None:
        raise MtlError(f"from_run: {path} holds no assignment: its strategy shares no whole units")
    for kind, theirs, ours in (("unit", earlier.units, units), ("task", earlier.tasks, tasks)):
        _check_names(path, kind, theirs, ours)
    matrix = [list(row) for row in earlier.weights]
    if known is not None:
        known[str(path)] = matrix
    return _by_matrix(matrix, len(units), len(tasks))


def _check_names(path: Path, kind: str, theirs: Sequence[str], ours: Sequence[str]) -> None:
    if len(theirs) != len(ours):
        raise MtlError(
            f"from_run: {path} has {len(theirs)} {kind}s ({', '.join(theirs)}), this run has "
            f"{len(ours)} ({', '.join(ours)})"
        )
    for number, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their != our:
            raise MtlError(
                f"from_run: {kind} {number} is {their!r} in {path} and {our!r} in this run"
            )


def _by_position(
    shared_first: int | str | None, units: int, tasks: int
) -> Int64[Tensor, "units tasks"]:
    count = units // 2 if shared_first == "half" else shared_first
    if not isinstance(count, int) or not 0 <= count <= units:
        raise MtlError(
            f"shared_first should be 'half' or a number from 0 to the {units} units, found {count}"
        )
    own = torch.arange(tasks).repeat(units, 1)
    own[:count] = 0
    return own
