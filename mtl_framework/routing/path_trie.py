"""A trie of the distinct paths of some columns is built here, in numpy."""

from collections.abc import Mapping

import numpy as np

from .statistics_schedule import Ints


class PathTrie:
    """The trie says which columns share their rows, level by level.

    A column is one (sample, task) pair; its path through the backbone depends on its own weights
    only. Columns that agree on their first units share their rows up to there, so the columns form
    a trie, whose nodes at one depth are the *groups* of that level. Groups of a level are numbered
    by (weight, parent): what the calls of a unit return then lies in order, one call's rows behind
    the other's, also for further places of the unit.

    Worked example: four columns a, b, c, d that read one input, and two units whose weights are
    ``[[0, 1, 1, 0], [1, 0, 0, 0]]``.

    =======  ====================  ==============  =================================
    level    path so far           groups          first column of each group
    =======  ====================  ==============  =================================
    0        nothing               0, 0, 0, 0      a
    1        a: 0, b: 1, c, d      0, 1, 1, 0      a, b
    2        a: 0-1, b: 1-0, ...   2, 1, 1, 0      d, b, a
    =======  ====================  ==============  =================================

    At level 2 the code of a column is weight * 2 + parent: a has 1 * 2 + 0, b and c 0 * 2 + 1, d
    0 * 2 + 0. Ascending codes 0, 1, 2 become the numbers of the groups, so that the two groups of
    weight 0 come first, and a's, of weight 1, last.

    Args:
        weights: (U, C), the weight of every unit in every column.
        root: (C,), equal for columns that may share the rows that enter the first unit.
        branching: whether groups split unit by unit; if not, every distinct whole column has its
            own rows from the start.
        own_rows: by unit, a code (C,) for every column of the rows that it has behind the unit,
            whatever its path.

    Attributes:
        groups: by level, U + 1 of them, the group (C,) of every column.
        first: by level, one column (G,) of each group: the first that is in it.
    """

    def __init__(
        self, weights: Ints, root: Ints, *, branching: bool, own_rows: Mapping[int, Ints]
    ) -> None:
        self.weights = weights
        self.groups: list[Ints] = []
        self.first: list[Ints] = []
        if not branching:
            self._add_level(_whole_paths(weights, root))
            self.groups *= len(weights) + 1
            self.first *= len(weights) + 1
            return
        self._add_level(root)
        for unit, weight in enumerate(weights):
            split = weight * len(self.first[-1]) + self.groups[-1]
            self._add_level(own_rows.get(unit, split))

    def _add_level(self, code: Ints) -> None:
        first, group = distinct(code)
        self.groups.append(group)
        self.first.append(first)

    def num_groups(self, level: int) -> int:
        """Return the number of distinct paths down to ``level``."""
        return len(self.first[level])

    def sizes(self, level: int) -> Ints:
        """Count the columns that run through each group of a level, as (groups,)."""
        return np.bincount(self.groups[level], minlength=self.num_groups(level))

    def calls(self, unit: int | None, level: int) -> tuple[Ints, Ints]:
        """Return the groups (G,) of a level ordered by their weight, and where each weight's begin.

        In the example above, unit 1 at level 2: groups 0, 1, 2 use weights 0, 0, 1, so the order is
        0, 1, 2, and the calls begin at 0 and 2 and end at 3. A later place of unit 0, at level 2,
        meets its weights 0, 1, 0: the order is 0, 2, 1, and the calls begin at 0 and 2, too.
        ``None``: a layer outside the banks, which is one call.
        """
        groups = self.num_groups(level)
        if unit is None:
            return np.arange(groups), np.array([0, groups])
        weight = self.weights[unit][self.first[level]]
        order = weight.argsort(kind="stable")
        ordered = weight[order]
        starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        return order, np.concatenate([[0], starts, [groups]])

    def call_of(self, unit: int | None, level: int) -> Ints:
        """Return the number (G,) of the call of each group of a level, calls as in :meth:`calls`.

        Order 0, 2, 1 with starts 0, 2, 3 gives 0, 1, 0: groups 0 and 2 are in call 0.
        """
        order, starts = self.calls(unit, level)
        call_of = np.empty_like(order)
        call_of[order] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return call_of


def _whole_paths(weights: Ints, root: Ints) -> Ints:
    code = root
    for weight in weights:
        _, code = distinct(code * (int(weight.max()) + 1) + weight)
    return code


def distinct(codes: Ints) -> tuple[Ints, Ints]:
    """Return where each value first stands, and (n,) which value an entry is, values ascending.

    E.g. 7, 3, 7 gives 1, 0 (where 3 and 7 first stand) and 1, 0, 1.
    """
    order = codes.argsort(kind="stable")
    ordered = codes[order]
    new = np.ones(len(codes), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    which = np.empty(len(codes), dtype=np.int64)
    which[order] = np.cumsum(new) - 1
    return order[new], which
