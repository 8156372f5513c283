"""Strategies of a comparison should differ in what tasks share, and in little else.

A moving average of the weights that one row has, a preset that also chooses other running averages
of norms, a first part in which everything is shared: each can move figures by more than who shares
what, and hides behind a strategy's name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..strategies.initialization import InitialWeights
from ..strategies.shared_start import SharedStartConfig
from ..support.errors import MtlError
from .records import RunRecord

#: What changes no figure that is compared, is one for the group, or is told elsewhere.
_LEFT_OUT = {
    "strategy", "suite", "seed", "device", "iterations", "eval_every", "eval_batch_size",
    "log_every", "observers", "keep", "keep_on_device", "data_workers", "memory_budget",
    "batched_weights", "cuda_graphs", "main", "report", "metrics",
}  # fmt: skip
#: Options that strategies have from the framework, whose meaning is one for all of them.
_COMMON = (*InitialWeights.model_fields, *SharedStartConfig.model_fields)
_OPTIMIZER = ("optimizer", "learning_rate", "weight_decay")


@dataclass(frozen=True)
class Unlike:
    """This is a setting beside the sharing that strategies of a comparison do not have in common.

    Args:
        key: the setting, as in a config; ``optimizer`` and rates are those that runs really had.
        values: names of the strategies by the value that they have, in the order of the rows.
    """

    key: str
    values: Mapping[str, tuple[str, ...]]


def unlike_settings(records: Iterable[RunRecord]) -> list[Unlike]:
    """Return the settings beside the sharing in which finished strategies differ.

    Each strategy is seen by its first finished run whose config can be read. An option that only
    some strategies have is compared between those.

    Args:
        records: runs on one suite, without controls.
    """
    settings: dict[str, dict[str, str]] = {}
    for record in records:
        if record.result is None or record.strategy in settings:
            continue
        try:
            settings[record.strategy] = _settings(record)
        except MtlError:  # without its config it says nothing; the next run of the strategy may
            continue
    found = []
    for key in dict.fromkeys(key for values in settings.values() for key in values):
        labels: dict[str, tuple[str, ...]] = {}
        for label, values in settings.items():
            if key in values:
                labels[values[key]] = (*labels.get(values[key], ()), label)
        if len(labels) > 1:
            found.append(Unlike(key, labels))
    return found


def _settings(record: RunRecord) -> dict[str, str]:
    """Return what may differ, as text: one entry for every key of a section."""
    strategy = record.config.get("strategy")
    options = strategy if isinstance(strategy, Mapping) else {}
    found: dict[str, Any] = {f"strategy.{key}": options[key] for key in _COMMON if key in options}
    if not options.get("shared_start"):
        found.pop("strategy.shared_start_moments", None)  # nothing parts
    for section, value in record.config.items():
        if section in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            found |= {f"{section}.{key}": entry for key, entry in value.items()}
        else:
            found[section] = value
    used = record.result.optimizer if record.result is not None else None
    for key in _OPTIMIZER:  # what a strategy chooses stands in its own options, or nowhere
        found.pop(f"training.{key}", None)
    if used is not None:
        found["optimizer"] = {"name": used.name, **used.options} if used.options else used.name
        found |= {"learning rate": used.learning_rate, "weight decay": used.weight_decay}
    return {key: _text(value) for key, value in found.items()}


def _text(value: Any) -> str:
    """Write a value as a config file would, in one line."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return str(value)
