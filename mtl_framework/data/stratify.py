"""Parts of examples that keep the shares of many tasks' classes, and their rarest ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from .examples import SPLITS

#: Above so many classes of all tasks together, only those of the first task are kept in their
#: shares; the rarest ones are put where they are needed in any case.
MOST_CLASSES = 300

_CANDIDATES = 64  # rows of a class that are compared, so that large classes cost no time
_OPEN, _DRAWN, _REST = -1, 0, 1


def class_codes(
    values: Shaped[np.ndarray, " rows"], present: Bool[np.ndarray, " rows"] | None = None
) -> Int64[np.ndarray, " rows"]:
    """Return the class of every row as a number, in the order of values, or -1 without one."""
    numbers = np.full(len(values), -1, np.int64)
    known = np.ones(len(values), bool) if present is None else present
    if known.any():
        numbers[known] = np.unique(values[known], return_inverse=True)[1].reshape(-1)
    return numbers


def divisible(
    strata: Sequence[Int64[np.ndarray, " rows"]],
    rows: Int64[np.ndarray, " _"],
    train: int,
    drawn: int,
    alone: bool = True,
) -> list[Int64[np.ndarray, " rows"]]:
    """Return the tasks by which rows can be divided without harm to the others.

    Classes of one row or two (free texts, names of owners) bind where their rows go. Where all of
    them bind more rows than training is to have, or there are more pairs than rows to draw for the
    test split, nothing is left to choose for other tasks, which could lack whole splits or classes.
    The task that has most of these rows or pairs is then left out, and so on. If that would leave
    no task, there is none to protect, and all are returned.

    Args:
        strata: for every task the number of every row's class, -1 for rows without one.
        rows: the rows that are to be divided; classes are counted in all rows.
        train: number of rows that training is to have.
        drawn: number of rows to draw for the other split that is made first; 0 if there is none.
        alone: whether there are no tasks beside these; if there are, perhaps none is returned.
    """
    bound, pairs = [], []
    for column in strata:
        members = np.bincount(column[column >= 0], minlength=1)
        here = column[rows]
        bound.append((here >= 0) & (members[np.maximum(here, 0)] < len(SPLITS)))
        pairs.append(int((np.bincount(here[bound[-1]], minlength=1) == 2).sum()))
    kept = list(range(len(strata)))
    while kept:
        if drawn and sum(pairs[task] for task in kept) > drawn:
            kept.remove(max(kept, key=lambda task: pairs[task]))
        elif np.any([bound[task] for task in kept], axis=0).sum() > train:
            kept.remove(max(kept, key=lambda task: int(bound[task].sum())))
        else:
            break
    return [strata[task] for task in kept] if kept or not alone else list(strata)


def draw(
    strata: Sequence[Int64[np.ndarray, " rows"]], count: int, seed: int, parts: int = 1
) -> Bool[np.ndarray, " rows"]:
    """Return which rows to draw so that drawn and other rows have the same shares of classes.

    Of every class with two examples or more, one is drawn and one stays; more of them stay where
    the rest will be divided into several parts. Everything else follows Sechidis, Tsoumakas and
    Vlahavas 2011, "On the stratification of multi-label data", by the library
    iterative-stratification.

    Args:
        strata: for every task the number of every row's class, -1 for rows without one.
        count: number of rows to draw.
        seed: seed of the random choice among rows that serve equally well.
        parts: number of parts that the other rows will be divided into, each of which should have a
            row of every class.
    """
    random = np.random.RandomState(seed)
    total = len(strata[0])
    sides = np.full(total, _OPEN)
    room = {_DRAWN: count, _REST: total - count}
    _place_rare(strata, sides, room, parts, random)
    open_rows = np.flatnonzero(sides == _OPEN)
    if len(open_rows):
        sides[open_rows] = _shared(strata, open_rows, room, random)
    _exactly(strata, sides, count, random)
    return np.asarray(sides == _DRAWN)


def _place_rare(
    strata: Sequence[Int64[np.ndarray, " rows"]],
    sides: Int64[np.ndarray, " rows"],
    room: dict[int, int],
    parts: int,
    random: np.random.RandomState,
) -> None:
    """Put examples where their class would be lacking, the rarest classes first."""
    needs = _Needs(strata, sides, room, parts)
    order = random.permutation(len(sides))  # rows that serve equally well: in this order
    for task, label in sorted(needs.sizes, key=lambda key: needs.sizes[key]):
        members = order[strata[task][order] == label]
        for side in (_REST, _DRAWN):
            while needs.lacking[task, label][side] > 0 and room[side]:
                candidates = members[sides[members] == _OPEN][:_CANDIDATES].tolist()
                if not candidates:
                    break
                useful = [needs.met_by(row, side) for row in candidates]
                needs.place(candidates[useful.index(max(useful))], side)


class _Needs:
    """These are the rows that every class still lacks in the two parts, by task and class.

    An example: two classes of two rows, {1, 2} of one task and {2, 3} of another. If row 2 stays,
    row 1 is drawn for the first, and row 3 has to be drawn for the second before others choose it.
    """

    def __init__(
        self,
        strata: Sequence[Int64[np.ndarray, " rows"]],
        sides: Int64[np.ndarray, " rows"],
        room: dict[int, int],
        parts: int,
    ) -> None:
        self._strata, self._sides, self._room = strata, sides, room
        self.lacking: dict[tuple[int, int], dict[int, int]] = {}
        self.sizes: dict[tuple[int, int], int] = {}
        for task, column in enumerate(strata):
            for label, members in zip(*np.unique(column, return_counts=True), strict=True):
                if label >= 0:
                    drawn = int(members >= 2)
                    rest = min(int(members) - drawn, parts)
                    self.lacking[task, int(label)] = {_DRAWN: drawn, _REST: rest}
                    self.sizes[task, int(label)] = int(members)
        self._open = dict(self.sizes)  # how many rows of a class have no place yet

    def met_by(self, row: int, side: int) -> int:
        """Count the classes of a row that still lack one in this part."""
        return sum(self.lacking[key][side] > 0 for key in self._classes_of(row))

    def place(self, row: int, side: int) -> None:
        """Put a row into a part, and with it all rows that then have one place left."""
        todo = [(row, side)]
        while todo:
            row, side = todo.pop()
            if self._sides[row] != _OPEN or not self._room[side]:
                continue
            self._sides[row] = side
            self._room[side] -= 1
            for key in self._classes_of(row):
                self._open[key] -= 1
                self.lacking[key][side] -= 1
                todo += self._forced(key)

    def _forced(self, key: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the open rows of a class that one part needs all of, and the other none."""
        wanted = [side for side in (_REST, _DRAWN) if self.lacking[key][side] > 0]
        if len(wanted) != 1 or self._open[key] != self.lacking[key][wanted[0]]:
            return []
        task, label = key
        members = np.flatnonzero((self._strata[task] == label) & (self._sides == _OPEN))
        return [(int(row), wanted[0]) for row in members]

    def _classes_of(self, row: int) -> list[tuple[int, int]]:
        return [(t, int(c[row])) for t, c in enumerate(self._strata) if c[row] >= 0]


def _shared(
    strata: Sequence[Int64[np.ndarray, " rows"]],
    rows: Int64[np.ndarray, " _"],
    room: dict[int, int],
    random: np.random.RandomState,
) -> Int64[np.ndarray, " _"]:
    """Sides of the other rows, so that classes keep their shares."""
    if not room[_DRAWN] or not room[_REST]:
        return np.full(len(rows), _DRAWN if room[_DRAWN] else _REST)
    columns = [column[rows] for column in strata]
    marks = np.concatenate([column[:, None] == np.unique(column) for column in columns], 1)
    if marks.shape[1] > MOST_CLASSES:
        marks = columns[0][:, None] == np.unique(columns[0])
    from iterstrat.ml_stratifiers import IterativeStratification  # imports scikit-learn

    shares = np.array([room[_DRAWN], room[_REST]]) / len(rows)
    return np.asarray(IterativeStratification(marks, shares, random), np.int64)


def _exactly(
    strata: Sequence[Int64[np.ndarray, " rows"]],
    sides: Int64[np.ndarray, " rows"],
    count: int,
    random: np.random.RandomState,
) -> None:
    """Move rows until ``count`` are drawn, those whose classes can best spare them."""
    drawn = int((sides == _DRAWN).sum())
    source, target = (_DRAWN, _REST) if drawn > count else (_REST, _DRAWN)
    for _ in range(abs(drawn - count)):
        rows = random.permutation(np.flatnonzero(sides == source))
        spare = np.full(len(rows), len(sides))
        for column in strata:
            here = np.bincount(column[sides == source] + 1, minlength=int(column.max()) + 2)
            left = np.where(column[rows] >= 0, here[column[rows] + 1], len(sides))
            spare = np.minimum(spare, left)
        sides[rows[int(np.argmax(spare))]] = target
