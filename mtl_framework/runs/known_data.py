"""A run records enough of its data to predict without it, and to notice that it has changed.

The file ``tasks.json`` in a run's folder says of every task what its outputs mean and what its
network reads, and of every split which examples it has and, as digests, which labels they have.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import objectives
from ..data.examples import parts
from ..data.images import ImageNormalization
from ..data.objectives import Objective
from ..data.pictures import PictureOptions
from ..data.preprocessing import in_unit_range
from ..data.readers import labelled_rows
from ..data.tasks import SPLITS, Examples, Suite, Task
from ..data.transforms import ImageTransform
from ..support.errors import MtlError, message_of
from ..support.files import kind_of, read_bytes
from .known_examples import describe_examples, examples_differ, shortened

#: Name and options of a task's head, and of its auxiliary one.
RecordedHeads = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
_FORMAT = 1
_LATER = {
    "label_smoothing", "class_weights", "focal_gamma", "positive_weight", "loss", "beta",
}  # fmt: skip


def describe(suite: Suite) -> dict[str, Any]:
    """Describe a suite by values that JSON can hold.

    Of tasks there is no description (``None``) where one has an objective of a plugin's own, which
    only its suite can make again; names of their classes stand for it.
    """
    known: dict[str, Any] = {
        "format": _FORMAT,
        "suite": suite.name,
        "common_input": suite.common_input,
        "examples": describe_examples(suite),
    }
    tasks = _described(suite, known)
    if tasks is None:
        names = {task.name: getattr(task.objective, "class_names", None) for task in suite.tasks}
        known["classes"] = {task: [str(name) for name in x or ()] for task, x in names.items()}
    return {**known, "tasks": tasks}


def _described(suite: Suite, known: Mapping[str, Any]) -> list[Any] | None:
    try:
        plain = json.loads(json.dumps([_task(task) for task in suite.tasks], allow_nan=False))
        rebuilt = StandIn.of({**known, "tasks": plain}).suite
    except (MtlError, TypeError, ValueError):  # a plugin's, or a field that JSON does not hold
        return None
    same = [a.objective == b.objective for a, b in zip(suite.tasks, rebuilt.tasks, strict=True)]
    return list(plain) if all(same) else None


@dataclass(frozen=True)
class StandIn:
    """A stand-in is a suite of the same tasks without their data: all examples are a blank one.

    Attributes:
        suite: the suite for which networks can be built.
        from_files: for every task, whether image files can be its inputs.
        heads: for every task name and options of its head, and of its auxiliary head; ``None``
            where it has none, and in files from before heads were recorded.
    """

    suite: Suite
    from_files: tuple[bool, ...]
    heads: tuple[RecordedHeads, ...] = ()

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> "StandIn":
        """Make the stand-in of what :func:`describe` gave.

        Raises:
            MtlError: if ``known`` is no such description.
        """
        try:
            if known["format"] != _FORMAT:
                raise MtlError(f"it has format {known['format']!r}, expected {_FORMAT}")
            shared: dict[str, Tensor] | None = {} if known["common_input"] else None
            tasks = [_blank_task(plain, shared) for plain in known["tasks"]]
            suite = Suite(str(known["suite"]), tasks, bool(known["common_input"]))
            from_files = tuple(bool(plain["from_files"]) for plain in known["tasks"])
            return cls(suite, from_files, tuple(map(_recorded_heads, known["tasks"])))
        except (
            KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError
        ) as error:  # fmt: skip
            reason = message_of(error)[:200]
            raise MtlError(
                f"it does not describe tasks ({type(error).__name__}: {reason})"
            ) from error


def read_known(file: Path) -> dict[str, Any] | None:
    """Read a run's ``tasks.json``; ``None`` where there is no such file.

    Raises:
        MtlError: if the file cannot be read.
    """
    if kind_of(file) is None:
        return None
    try:
        known = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise MtlError(f"cannot read {file}: {error}") from error
    if not isinstance(known, dict):
        raise MtlError(f"{file} is damaged: it does not describe tasks")
    return known


def check_known(
    known: Mapping[str, Any],
    suite: Suite,
    splits: Sequence[str] = SPLITS,
    todo: str = "",
    in_order: bool = False,
) -> None:
    """Raise an error if the data has changed since the run began.

    Args:
        known: what :func:`describe` returned when the run began.
        suite: the suite with its present data.
        splits: names of the splits whose examples and labels should be the same.
        todo: advice that is added to the message.
        in_order: whether the examples should come in the same order, too.

    Raises:
        MtlError: naming what differs: tasks, classes, examples that are gone, added, have other
            labels or another order.
    """
    now = describe(suite)
    try:
        if known["tasks"] is None or now["tasks"] is None:
            problem = _classes_differ(known.get("classes", {}), now.get("classes", {}))
        else:
            problem = _tasks_differ(known["tasks"], now["tasks"])
        problem = problem or examples_differ(known["examples"], now["examples"], splits, in_order)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MtlError(f"tasks.json of the run is damaged ({type(error).__name__})") from error
    if problem:
        raise MtlError(f"the data has changed since the run began: {problem}{todo}")


# -- tasks -----------------------------------------------------------------------------------------


def _task(task: Task) -> dict[str, Any]:
    transform = task.image_transform
    return {
        "name": task.name,
        "objective": objective_to_plain(task.objective),
        "input_shape": list(task.train.input_shape),
        "input_dtype": str(task.train.inputs.dtype).removeprefix("torch."),
        "from_files": in_unit_range(task.train.inputs),
        "normalization": task.normalization and [task.normalization.mean, task.normalization.std],
        "image_transform": None if transform is None else [dict(e) for e in transform.entries],
        "pictures": task.pictures.to_plain(),
        "backbone": task.backbone and dict(task.backbone),
        **_heads(task),
        "batch_size": task.batch_size,
        "splits": {split: _split(examples) for split, examples in task.splits().items()},
    }


def _split(examples: Examples) -> dict[str, Any]:
    targets = examples.targets
    plain: dict[str, Any] = {
        "examples": len(examples),
        "labelled": examples.num_labelled,
        "target_shape": list(targets.shape[1:]),
        "target_dtype": str(targets.dtype).removeprefix("torch."),
        "streams": examples.streams,
    }
    if targets.is_floating_point():
        plain["range"] = list(_finite_range(examples))
    return plain


def _finite_range(examples: Examples) -> tuple[float, float]:
    """Return the smallest and largest finite number among the labels."""
    low, high = inf, -inf
    for rows in parts(examples, labelled_rows([examples])):
        seen = examples.targets[rows]
        finite = torch.isfinite(seen)  # boolean indexing of whole maps takes much longer
        low = min(low, float(seen.masked_fill(~finite, inf).min()))
        high = max(high, float(seen.masked_fill(~finite, -inf).max()))
    return low, high


def objective_to_plain(objective: Objective) -> dict[str, Any]:
    """Return an objective of the framework's as plain values.

    Raises:
        MtlError: if it is a plugin's own.
    """
    kind = type(objective)
    if getattr(objectives, kind.__name__, None) is not kind:
        raise MtlError(f"objective {kind.__name__} is not one of the framework's")
    if not is_dataclass(objective):
        raise MtlError(f"objective {kind.__name__} has no fields")
    names = [field.name for field in fields(objective) if field.init]
    values = {name: getattr(objective, name) for name in names}
    plain = {field.name: field.default for field in fields(objective)}
    for name in _LATER & set(values):  # files from before these options existed stay what they are
        if values[name] == plain[name]:
            del values[name]
    return {"kind": kind.__name__, **values}


def objective_from_plain(plain: Mapping[str, Any]) -> Objective:
    """Return the objective for which :func:`objective_to_plain` has returned these values.

    Raises:
        MtlError: if a value is out of range.
        Exception: AttributeError, KeyError or TypeError, if they are no such values.
    """
    values = {key: _hashable(value) for key, value in plain.items()}
    name = str(values.pop("kind"))
    kind = getattr(objectives, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Objective):
        raise AttributeError(f"there is no objective {name!r}")
    made: Objective = kind(**values)
    return made


def _heads(task: Task) -> dict[str, Any]:
    head = task.head
    if head is None:
        return {}
    plain: dict[str, Any] = {"head": {"name": head.name, **head.options}}
    if (extra := head.auxiliary) is not None:
        own = {"name": extra.choice.name, **extra.choice.options, "loss_weight": extra.loss_weight}
        plain["auxiliary_head"] = own
    return plain


def _recorded_heads(plain: Mapping[str, Any]) -> RecordedHeads:
    heads = (plain.get("head"), plain.get("auxiliary_head"))
    for head in heads:
        if head is not None and not isinstance(head["name"], str):
            raise TypeError(f"a head of {plain['name']!r} has no name")
    return heads


def _blank_task(plain: Mapping[str, Any], shared: dict[str, Tensor] | None) -> Task:
    splits = {
        split: _blank(plain, about, split, shared) for split, about in plain["splits"].items()
    }
    mean_std, entries = plain["normalization"], plain["image_transform"]
    return Task(
        plain["name"],
        objective_from_plain(plain["objective"]),
        splits["train"],
        splits["test"],
        splits.get("validation"),
        batch_size=plain["batch_size"],
        backbone=plain["backbone"],
        normalization=mean_std and ImageNormalization(*map(_hashable, mean_std)),
        image_transform=None if entries is None else ImageTransform.from_config(entries),
        pictures=PictureOptions.from_plain(plain["pictures"]),
    )


def _blank(
    task: Mapping[str, Any], about: Mapping[str, Any], split: str, shared: dict[str, Tensor] | None
) -> Examples:
    """Make as many blank examples as there were, in the memory of one."""
    rows = int(about["examples"])
    inputs = _filled(rows, task["input_shape"], task["input_dtype"], 0)
    if shared is not None:
        inputs = shared.setdefault(split, inputs)
    maps = len(about["target_shape"]) > 1  # in which zeros may stand for no label
    targets = _filled(rows, about["target_shape"], about["target_dtype"], int(maps))
    streams = about.get("streams", about.get("lanes"))  # the second is the older name
    return Examples(inputs, targets, streams=streams)


def _filled(rows: int, shape: Sequence[int], dtype: str, value: int) -> Tensor:
    kind = getattr(torch, dtype)
    return torch.full((1, *shape), value, dtype=kind).expand(rows, *shape)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _unscaled(objective: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out means and deviations, which follow from the training examples."""
    return {key: value for key, value in objective.items() if key not in ("means", "deviations")}


def _tasks_differ(old: Sequence[Any], new: Sequence[Any]) -> str | None:
    names = [[task["name"] for task in tasks] for tasks in (old, new)]
    if names[0] != names[1]:
        return f"the tasks were {', '.join(names[0])} and are {', '.join(names[1])}"
    for was, now in zip(old, new, strict=True):
        where = f"task {was['name']!r}"
        if _unscaled(was["objective"]) != _unscaled(now["objective"]):
            classes = ({was["name"]: x["objective"].get("class_names") or []} for x in (was, now))
            if problem := _classes_differ(*classes):
                return problem
            kinds = [str(_unscaled(x["objective"])) for x in (was, now)]
            return f"{where} was {kinds[0]} and is {kinds[1]}"
        for key in ("input_shape", "input_dtype"):
            if was[key] != now[key]:
                return f"{key} of {where} was {was[key]} and is {now[key]}"
    return None


def _classes_differ(
    old: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]
) -> str | None:
    """Compare names of classes, by task."""
    for task in old:
        if task in new and list(old[task]) != list(new[task]):
            were, are = shortened(old[task]), shortened(new[task])
            return f"the classes of task {task!r} were {were} and are {are}"
    return None
