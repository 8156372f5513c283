"""Splits of a task's examples that are always the same."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64, Shaped

from ..support.errors import MtlError, UnknownNameError
from .examples import SPLITS
from .stratify import class_codes, divisible, draw

#: The split that is meant by each of its names in files, folders and arrays.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "tr": "train",
    "validation": "validation",
    "validate": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "te": "test",
    "holdout": "test",
    "heldout": "test",
}
_ENDINGS = ("set", "split", "data", "images")
_BETWEEN = re.compile(r"[\s_\-.]+")  # between words, as in Hold-out and train_set

#: Share of the examples in a test or validation split that neither data nor options name.
DEFAULT_SHARE = 0.2
#: For every task the number of every row's class, -1 for rows without one.
Strata = Sequence[Int64[np.ndarray, " rows"]]
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class SplitSizes:
    """This class says how many examples of a task every split gets.

    Args:
        train: number of training examples, or below 1 a share of the task's examples; ``None``
            takes all that the other splits leave.
        validation: number of validation examples, or below 1 a share; ``None`` takes the validation
            split of the data, or makes none if the data has no such split.
        test: number of test examples, or below 1 a share; ``None`` takes the test split of the
            data; if the data has none, all that is left where ``train`` is given, and otherwise a
            fifth.
        seed: seed of the random choice, 0 to 2**32 - 1. Splits depend on the seed, the labels and
            the sizes only.
        by_default: whether ``validation`` is a default that no user has asked for, which is made
            smaller if examples are few.

    Raises:
        MtlError: if a size is wrong; the message names the option, its value and what is allowed.
    """

    train: int | float | None = None
    validation: int | float | None = None
    test: int | float | None = None
    seed: int = 0
    by_default: bool = False

    def with_validation(self) -> "SplitSizes":
        """Return the same sizes, with the usual share for validation if it has none."""
        if self.validation is not None:
            return self
        return replace(self, validation=DEFAULT_SHARE, by_default=True)

    def __post_init__(self) -> None:
        for split in SPLITS:
            amount = getattr(self, split)
            least = 0 if split == "validation" else 1
            fits = amount is None or (
                0 < amount < 1 if isinstance(amount, float) else amount >= least
            )
            if not fits:
                raise MtlError(
                    f"{split}_per_task should be a whole number from {least}, or a share between "
                    f"0 and 1, found {amount!r}"
                )
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise MtlError(f"split_seed should be from 0 to {_LARGEST_SEED}, found {self.seed}")

    def counts(
        self, examples: int, cut: Sequence[str] = ("validation", "test"), least: int = 1
    ) -> dict[str, int]:
        """Return how many of the examples that are in no split yet every split gets.

        Args:
            examples: number of these examples.
            cut: splits that get a part of them, beside training.
            least: number of examples, one for each class, that training and test get at least if
                the user gives no sizes.

        Raises:
            MtlError: if there are too few.
        """
        amounts = {split: getattr(self, split) for split in SPLITS if split in ("train", *cut)}
        wanted = {split: _count(amount, examples) for split, amount in amounts.items()}
        train, validation = wanted["train"], wanted.get("validation") or 0
        test = wanted.get("test", 0)
        if test is None:
            share = _share(DEFAULT_SHARE, examples)
            share = share if share >= least > examples - least else max(share, least)
            test = share if train is None else examples - train - validation
        if train is None and self.by_default:
            validation = max(0, min(validation, examples - test - least))
        shares = [amount for amount in amounts.values() if amount is not None]
        all_shares = all(isinstance(share, float) for share in shares)
        if train is None or (all_shares and sum(shares) > 1 - 1e-9):
            train = examples - validation - test  # rounding must not cost or invent an example
        found = {"train": train, "validation": validation, "test": test}
        if train < 1 or test < ("test" in cut) or sum(found.values()) > examples:
            asked = [
                f"{s}_per_task={amount}" for s, amount in amounts.items() if amount is not None
            ]
            raise MtlError(f"{', '.join(asked) or 'a split'} cannot be had of {examples} examples")
        return found


def _count(amount: int | float | None, examples: int) -> int | None:
    return _share(amount, examples) if isinstance(amount, float) else amount


def _share(share: float, examples: int) -> int:
    return round(share * examples)


def split_name(name: str) -> str:
    """``train``, ``validation`` or ``test``, also from another name of it.

    Capitals do not matter, nor what is between words (``Hold-out``), and neither does ``set``,
    ``split``, ``data`` or ``images`` behind it.

    Raises:
        UnknownNameError: if it is no name of a split.
    """
    found = known_split(name)
    if found is None:
        raise UnknownNameError("split", name, SPLIT_NAMES)
    return found


def known_split(name: str) -> str | None:
    """Return the split that a text names, see :func:`split_name`, or ``None`` for other texts."""
    plain = _BETWEEN.sub("", name.lower())
    forms = [plain, *(plain.removesuffix(ending) for ending in _ENDINGS)]
    return next((SPLIT_NAMES[form] for form in forms if form in SPLIT_NAMES), None)


def make_splits(
    given: Mapping[str | None, Int64[np.ndarray, " _"]],
    labels: Shaped[np.ndarray, " rows"] | Strata | None,
    sizes: SplitSizes,
    cut_test: bool = False,
    others: bool = False,
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Return the rows of every split: given ones, reduced to their sizes, or ones chosen here.

    Every choice is stratified by ``labels``: each split has the classes in the proportions of what
    it is drawn from, and a class with few examples has some in training and test, and in
    validation where it has three. A validation split that is asked for and not given is taken from
    training. Of several tasks, those that consist of classes of one row or two do not count, where
    they would leave the others no choice; see ``divisible``.

    Args:
        given: rows by split; under ``None`` those that are in no split yet.
        labels: class of every row, or for several tasks the number of every row's class, -1 for
            rows without one; ``None`` if there are no classes.
        sizes: number of rows of every split, see :class:`SplitSizes`.
        cut_test: whether a test split that is not given is taken from training, too; otherwise it
            is an error that there is none.
        others: whether there are tasks without classes beside those in ``labels``.

    Returns:
        rows of every split in ascending order; no row is in two splits.

    Raises:
        MtlError: if a split has too few rows, or fewer rows than classes.
    """
    if isinstance(labels, np.ndarray):
        labels = [class_codes(labels)]
    if set(given) == {None}:
        rows = given[None]
        labels = _divisible(labels, rows, sizes.counts(len(rows)), others)
        counts = sizes.counts(len(rows), least=_least(labels, rows))
        return _split(rows, labels, counts, sizes.seed)
    pools = {split: rows for split, rows in given.items() if split is not None}
    for split in ("train", *([] if cut_test else ["test"])):
        if split not in pools:
            raise MtlError(f"there is no {split} split beside {', '.join(pools) or 'the others'}")
    cut = [split for split in ("validation", "test") if split not in pools]
    rows = pools["train"]
    labels = _divisible(labels, rows, sizes.counts(len(rows), cut), others)
    counts = sizes.counts(len(rows), cut, _least(labels, rows))
    chosen = _split(rows, labels, counts, sizes.seed)
    for split in ("validation", "test"):
        if split in pools:
            count = _count(getattr(sizes, split), len(pools[split]))
            if count != 0 or split == "test":
                chosen[split] = _take(pools[split], labels, count, sizes.seed, split)
    return {split: chosen[split] for split in SPLITS if split in chosen}


def _divisible(
    labels: Strata | None,
    rows: Int64[np.ndarray, " _"],
    counts: Mapping[str, int],
    others: bool,
) -> Strata | None:
    if labels is None or len(labels) + others < 2:
        return labels
    drawn = counts["test"] or counts["validation"]
    return divisible(labels, rows, counts["train"], drawn, not others) or None


def _take(
    rows: Int64[np.ndarray, " _"],
    labels: Strata | None,
    count: int | None,
    seed: int,
    split: str,
) -> Int64[np.ndarray, " _"]:
    if count is None or count == len(rows):
        return np.sort(rows)
    if count > len(rows):
        raise MtlError(f"{split}_per_task={count}, but the {split} split has {len(rows)} examples")
    if count < 1:
        raise MtlError(f"{split}_per_task leaves none of {len(rows)} examples")
    return np.sort(_draw(rows, labels, count, seed)[0])


def _split(
    rows: Int64[np.ndarray, " _"],
    labels: Strata | None,
    counts: Mapping[str, int],
    seed: int,
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Test first, so that it is the same whatever becomes of the rest."""
    if labels is not None and len(labels) == 1:
        _check_classes(labels[0][rows], counts)
    rest, found = rows, {}
    for split in ("test", "validation"):
        if counts[split]:
            parts = 2 if split == "test" and counts["validation"] else 1
            found[split], rest = _draw(rest, labels, counts[split], seed, parts)
    found["train"] = _draw(rest, labels, counts["train"], seed)[0]
    return {split: np.sort(found[split]) for split in SPLITS if split in found}


def _least(labels: Strata | None, rows: Int64[np.ndarray, " _"]) -> int:
    """Return how many classes with two examples or more the task with most of them has."""
    least = 1
    for column in labels or ():
        here = column[rows]
        least = max(least, int((np.unique(here[here >= 0], return_counts=True)[1] >= 2).sum()))
    return least


def _check_classes(labels: Shaped[np.ndarray, " rows"], counts: Mapping[str, int]) -> None:
    classes, members = np.unique(labels[labels >= 0], return_counts=True)
    classes = classes[members >= 2]
    for split in [split for split in ("train", "test") if counts[split]]:
        if counts[split] < len(classes):
            raise MtlError(
                f"{split}_per_task should be at least {len(classes)}, one a class, found "
                f"{counts[split]}"
            )


def _draw(
    rows: Int64[np.ndarray, " _"], labels: Strata | None, count: int, seed: int, parts: int = 1
) -> tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]:
    """``count`` rows and the others, which will be divided into ``parts``."""
    if count == len(rows):
        return rows, rows[:0]
    from sklearn.model_selection import train_test_split  # which takes a while to import

    strata = [column[rows] for column in labels or ()]
    if len(strata) <= 1:
        stratum = strata[0] if strata else None
        if stratum is not None:
            members = np.unique(stratum, return_counts=True)[1]
            if members.min() < 2 or min(count, len(rows) - count) < len(members):
                stratum = None  # too few to leave one of every class on both sides
        drawn, rest = train_test_split(rows, train_size=count, random_state=seed, stratify=stratum)
        if not strata or _covers(labels[0], drawn, rest, parts):  # type: ignore[index]
            return drawn, rest
    chosen = draw(strata, count, seed, parts)
    return rows[chosen], rows[~chosen]


def _covers(
    labels: Int64[np.ndarray, " rows"],
    drawn: Int64[np.ndarray, " _"],
    rest: Int64[np.ndarray, " _"],
    parts: int,
) -> bool:
    """Say whether every class has an example on either side, and one for each part of the rest."""
    classes, members = np.unique(labels[np.concatenate([drawn, rest])], return_counts=True)
    here = (labels[drawn][:, None] == classes).sum(0)
    needed = np.minimum(members - (members >= 2), parts)
    fine = (here >= (members >= 2)) & (members - here >= needed) | (classes < 0)
    return bool(fine.all())
