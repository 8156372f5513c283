"""A record holds names and labels of a suite's examples; two of them tell what differs."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from os.path import commonpath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.examples import parts
from ..data.streaming import LazyInputs
from ..data.tasks import Examples, Suite, Task

_FEW = 3  # examples that are named in a message


def task_groups(suite: Suite) -> list[list[Task]]:
    """Group the tasks that read the same examples."""
    groups: dict[tuple[int, ...], list[Task]] = {}
    for task in suite.tasks:
        key = tuple(id(examples.inputs) for examples in task.splits().values())
        groups.setdefault(key, []).append(task)
    return list(groups.values())


def describe_examples(suite: Suite) -> list[dict[str, Any]]:
    """Describe, for each group of tasks and each split, the examples and digests of labels."""
    return [
        {
            "tasks": [task.name for task in tasks],
            "splits": {
                split: {
                    "names": example_names(examples),
                    "labels": "".join(label_digests([task.splits()[split] for task in tasks])),
                    **_contents(examples),
                }
                for split, examples in tasks[0].splits().items()
            },
        }
        for tasks in task_groups(suite)
    ]


def example_names(examples: Examples) -> list[str]:
    """Return names of the examples that do not depend on where data lies, or digests of them."""
    inputs = examples.inputs
    if examples.names is not None:
        return list(examples.names)
    if isinstance(inputs, LazyInputs):
        names = [inputs.name(row) for row in range(len(inputs))]
        try:
            root = commonpath(names)
        except ValueError:
            return names
        return [name[len(root) :].lstrip("/\\") or name for name in names]
    return _digests(inputs)


def label_digests(splits: Sequence[Examples]) -> list[str]:
    """Return eight hexadecimal digits for each example: a digest of its labels for all tasks.

    Args:
        splits: the same split of every task that reads the examples.
    """
    digests: list[str] = []
    largest = max(splits, key=lambda examples: examples.targets.nbytes)
    for rows in parts(largest, torch.arange(len(largest))):
        columns = []
        for examples in splits:
            values = examples.targets[rows].reshape(len(rows), -1).double()
            if examples.labelled is not None:
                values = values.masked_fill(~examples.labelled[rows, None], float("nan"))
            columns.append(values)
        digests += _digests(torch.cat(columns, 1), 4)
    return digests


def content_digests(examples: Examples) -> str:
    """Return a digest of every example's contents, of eight digits; empty where unknown.

    It is empty, too, where names are digests, which say it already.
    """
    if examples.contents is not None:
        texts = [text.encode() for text in examples.contents]
        digests = [hashlib.blake2b(text, digest_size=4).hexdigest() for text in texts]
    elif examples.names is None or isinstance(examples.inputs, LazyInputs):
        return ""
    else:
        digests = _digests(examples.inputs, 4)
    return "".join(digests)


def _contents(examples: Examples) -> dict[str, str]:
    digests = content_digests(examples)
    return {"contents": digests} if digests else {}


def _digests(rows: Tensor, size: int = 8) -> list[str]:
    flat = rows.detach().cpu().reshape(len(rows), -1).contiguous()
    content: np.ndarray = flat.view(torch.uint8).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=size).hexdigest() for row in content]


def examples_differ(
    old: Sequence[Any], new: Sequence[Any], splits: Sequence[str], in_order: bool = False
) -> str | None:
    """Say the first difference between two descriptions; ``None``: there is none.

    Args:
        old: the earlier description.
        new: the later one.
        splits: names of the splits that are compared.
        in_order: whether another order of the same examples is a difference.
    """
    if [group["tasks"] for group in old] != [group["tasks"] for group in new]:
        return "other tasks read the same examples"
    for was, now in zip(old, new, strict=True):
        for split in splits:
            before, after = was["splits"].get(split), now["splits"].get(split)
            if before is None and after is None:
                continue
            if before is None or after is None:
                return f"there {'is a' if before is None else 'is no'} {split} split now"
            problem = _split_differs(
                before, after, _names_beside(was, split), _names_beside(now, split)
            )
            if in_order and problem is None:
                problem = _order_differs(before, after)
            if problem:
                return f"{split} split of {shortened(was['tasks'])}: {problem}"
    return None


def _names_beside(group: Mapping[str, Any], split: str) -> set[str]:
    """Return the names of the examples in all other splits."""
    return {n for other, about in group["splits"].items() if other != split for n in about["names"]}


def _split_differs(
    before: Mapping[str, Any], after: Mapping[str, Any], ever: set[str], still: set[str]
) -> str | None:
    """Say what differs in a split; ``ever`` and ``still`` are names in others, then and now."""
    gone, added = (
        Counter(a["names"]) - Counter(b["names"]) for a, b in ((before, after), (after, before))
    )
    relabelled, redrawn = (_changed(before, after, what) for what in ("labels", "contents"))
    left, came = list(gone.elements()), list(added.elements())
    parts = [
        f"{len(names)} {one if len(names) == 1 else several} ({_few(list(names))})"
        for names, one, several in (
            ([n for n in left if n not in still], "example is gone", "examples are gone"),
            ([n for n in came if n not in ever], "is new", "are new"),
            (
                [n for n in left if n in still],
                "is in another split now",
                "are in another split now",
            ),
            ([n for n in came if n in ever], "was in another split", "were in another split"),
            (relabelled, "has another label", "have another label"),
            (
                redrawn,
                "holds something else under the same name",
                "hold something else under the same name",
            ),
        )
        if names
    ]
    return "; ".join(parts) or None


def _order_differs(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Say where the same examples begin to come in another order; ``None``: nowhere."""
    kept = [what for what in ("labels", "contents") if what in before and what in after]
    old, new = (
        list(zip(split["names"], *(in_eights(split[what]) for what in kept), strict=True))
        for split in (before, after)
    )
    for row, (was, now) in enumerate(zip(old, new, strict=True)):
        if was != now:
            return (
                f"the same examples come in another order, e.g. {now[0]} where {was[0]} was "
                f"(number {row + 1})"
            )
    return None


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], what: str) -> list[str]:
    """Return the names of examples in both descriptions whose ``labels`` or ``contents`` differ.

    Runs from before contents were kept have none.
    """
    if what not in before or what not in after:
        return []
    old, new = (_by_name(split["names"], split[what]) for split in (before, after))
    return [
        name
        for name, digests in new.items()
        if name in old and digests - old[name] and old[name] - digests
    ]


def _by_name(names: Sequence[str], text: str) -> dict[str, Counter[str]]:
    """Return the digests of every name, which several examples may have."""
    digests: dict[str, Counter[str]] = {}
    for name, digest in zip(names, in_eights(text), strict=True):
        digests.setdefault(name, Counter())[digest] += 1
    return digests


def in_eights(text: str) -> list[str]:
    """Cut the digests of a split's examples, which are kept as one text, apart."""
    return [text[n : n + 8] for n in range(0, len(text), 8)]


def shortened(names: Sequence[str]) -> str:
    """Join names by commas, at most ten of them."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(str, names[:10])) + more
