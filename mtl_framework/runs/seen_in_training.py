"""Another suite may hold examples that a run was trained on; measured on them it says little."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ..data.tasks import Examples, Suite, Task
from ..support.errors import MtlError
from .known_examples import content_digests, example_names, in_eights, shortened, task_groups

#: What should be done with test examples that a run was trained on.
Seen = Literal["refuse", "warn", "allow"]
_WHOLE = 16  # characters of a text that stands for all of an example; a size in bytes is shorter
_CHANCE = 10 / 2**32  # pairs of digests of eight digits, and ten times as many equal as expected


@dataclass(frozen=True)
class SeenExamples:
    """These are the examples of one split that a run was trained on.

    Args:
        tasks: names of the tasks that read the examples.
        split: split of the examples in the suite that is measured.
        names: names of the examples.
        of: number of all examples of that split.
        surely: whether the examples hold the same as examples of training, and not only have their
            names.
        images: whether the examples are images; rows of few numbers may be equal by chance.
    """

    tasks: tuple[str, ...]
    split: str
    names: tuple[str, ...]
    of: int
    surely: bool
    images: bool

    @property
    def refused(self) -> bool:
        """Say whether test figures are refused, because the run was trained on test examples."""
        return self.split == "test" and self.surely and self.images

    def __str__(self) -> str:
        verb = "was" if len(self.names) == 1 else "were"
        how = f"{verb} in the run's training split"
        if not self.surely:
            how = f"{'has the name' if verb == 'was' else 'have names'} of its training examples"
        return (
            f"{self.split} split of {shortened(self.tasks)}: {len(self.names)} of {self.of} "
            f"examples {how}, e.g. {self.names[0]}"
        )


def seen_in_training(known: Mapping[str, Any] | None, suite: Suite) -> list[SeenExamples]:
    """Look for a run's training examples in the validation and test splits of another suite.

    Examples are the same where they hold the same, by whatever name; where it is not known what
    they hold, by their names. Those that were in the run's validation or test split, too, do not
    count: the run's own figures have them.

    Args:
        known: the run's record of its data; ``None``: it has none.
        suite: what the run is measured on.

    Raises:
        MtlError: if the record is damaged.
    """
    if known is None:
        return []
    try:
        return [
            seen
            for group in task_groups(suite)
            for split in ("validation", "test")
            if split in group[0].splits()
            and (seen := _seen(known["examples"], group, split)) is not None
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MtlError(f"tasks.json of the run is damaged ({type(error).__name__})") from error


def check_unseen(seen: Sequence[SeenExamples]) -> None:
    """Raise an error where test images are those of training.

    Raises:
        MtlError: with their numbers, and what to do.
    """
    refused = [str(each) for each in seen if each.refused]
    if refused:
        raise MtlError(
            f"{'; '.join(refused)}: figures on them say nothing about new data; the run's own test "
            "split is measured without a suite, and --seen=warn (seen='warn') measures them "
            "as they are"
        )


class _Known:
    """The examples of some recorded splits, by name and by the digest of what they hold."""

    def __init__(self, splits: Iterable[Mapping[str, Any]]) -> None:
        self.names: set[str] = set()
        self.unknown: set[str] = set()  # names of examples of which it is not known what they hold
        self.pairs: set[tuple[str, str]] = set()
        self.contents: set[str] = set()
        for about in splits:
            self.names.update(about["names"])
            if "contents" in about:
                contents = in_eights(about["contents"])
                self.pairs.update(zip(about["names"], contents, strict=True))
                self.contents.update(contents)
            else:
                self.unknown.update(about["names"])

    def same(self, one: "_Held") -> bool:
        """Say whether an example holds what one of these holds, and has its name."""
        return one.name in self.names if one.by_digest else (one.name, one.content) in self.pairs

    def alike(self, one: "_Held") -> bool:
        """Say whether an example holds what one of these holds, by whatever name."""
        return one.content is not None and one.whole and one.content in self.contents

    def named(self, one: "_Held") -> bool:
        """Say whether an example has the name of one of these, and nothing else is known."""
        return one.name in (self.names if one.content is None else self.unknown)


@dataclass(frozen=True)
class _Held:
    """One example: its name, or ``by_digest`` what stands for one; and what it holds.

    ``whole``: whether the digest is of all that it holds.
    """

    name: str
    content: str | None
    by_digest: bool
    whole: bool


def _seen(recorded: Sequence[Any], group: Sequence[Task], split: str) -> SeenExamples | None:
    tasks = tuple(task.name for task in group)
    theirs = [about["splits"] for about in recorded if set(about["tasks"]) & set(tasks)]
    trained = _Known(splits["train"] for splits in theirs)
    measured = _Known(splits[s] for splits in theirs for s in splits if s != "train")
    examples = group[0].splits()[split]
    held = _held(examples)
    left = [one for one in held if not (measured.same(one) or measured.alike(one))]
    same = [one for one in left if trained.same(one)]
    alike = [one for one in left if trained.alike(one) and not trained.same(one)]
    if len(alike) <= _CHANCE * len(held) * len(trained.contents):
        alike = []  # of so many pairs of digests, a few are equal by chance
    surely = bool(same or alike)
    taken = same + alike or [one for one in left if trained.named(one) and not measured.named(one)]
    if not taken:
        return None
    names = tuple(one.name for one in taken)
    return SeenExamples(tasks, split, names, len(held), surely, len(examples.input_shape) == 3)


def _held(examples: Examples) -> list[_Held]:
    texts = examples.contents
    whole = texts is None or all(len(text) >= _WHOLE for text in texts)
    names, digests = example_names(examples), in_eights(content_digests(examples))
    by_digest = examples.names is None and isinstance(examples.inputs, Tensor)
    contents: Sequence[str | None] = digests or [None] * len(names)
    return [
        _Held(name, content, by_digest, whole)
        for name, content in zip(names, contents, strict=True)
    ]
