"""How a layer of a config goes over those below it, and a setting over all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..support.errors import MtlError
from ..support.validation import KeyPath, dotted, shown
from .settings import Setting

# merged key by key, layer over layer
_SECTIONS = ("training", "objectives", "augmentation", "metrics", "heads")
_NAMED_TRAINING = ("optimizer", "schedule", "average", "weighting")


def training_with_options(training: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``training`` with mappings where it has names alone."""
    return {
        key: _with_options(value) if key in _NAMED_TRAINING else value
        for key, value in training.items()
    }


def _with_options(value: Any) -> Any:
    """A name in the form that has options beside it."""
    return {"name": value} if isinstance(value, str) else value


def merge(
    values: dict[str, Any], layer: Mapping[str, Any], names: Mapping[str, str], named: Sequence[str]
) -> None:
    """Put a layer's keys over those that are there.

    Args:
        values: of the lower layers; changed.
        layer: what goes over them.
        names: of strategy, backbone and suite, once all layers are there.
        named: the keys of ``names``, whose options go where another name comes.
    """
    for key, value in layer.items():
        if key == "preset":
            continue
        if key not in named:
            values[key] = _merged(values.get(key), value) if key in _SECTIONS else value
            continue
        options = dict(value)
        section = values.setdefault(key, {})
        if options.get("name", names[key]) != names[key]:
            # meant for another plugin; a backbone's other keys are the framework's, and stay
            options = {
                k: v for k, v in options.items() if key == "backbone" and k not in ("name", "args")
            }
        if isinstance(options.get("args"), Mapping) and isinstance(section.get("args"), Mapping):
            options["args"] = {**section["args"], **options["args"]}
        section.update(options)
        section["name"] = names[key]


def _merged(below: Any, above: Any) -> Any:
    """A section's keys over those of a lower layer, section by section.

    Where a section names something else than below, nothing of its options below holds any more.
    """
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    if "name" in above and above["name"] != below.get("name", above["name"]):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


def apply(values: dict[str, Any], setting: Setting) -> None:
    """Put a setting over what is there.

    Raises:
        MtlError: if a part of its key is no section.
    """
    if len(setting.key) > 1 and setting.key[0] == "training" and setting.key[1] in _NAMED_TRAINING:
        setting = _of_training(values.setdefault("training", {}), setting)
    section = values
    for position, part in enumerate(setting.key[:-1]):
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            above = dotted(setting.key[: position + 1])
            raise MtlError(
                f"--set {dotted(setting.key)}: {above} is {shown(section)}, which has no keys"
            )
    section[setting.key[-1]] = setting.value


def _of_training(training: Any, setting: Setting) -> Setting:
    """A setting of an optimiser, schedule and so on, which may stand there as a name alone."""
    name = setting.key[1]
    below = _with_options(training.get(name)) if isinstance(training, dict) else None
    if below is None:
        if isinstance(training, dict):
            training.pop(name, None)
        return setting
    training[name] = below
    if len(setting.key) == 2 and isinstance(setting.value, str):
        return Setting(setting.key, _merged(below, {"name": setting.value}))
    return setting


def holds(values: Any, key: KeyPath) -> bool:
    """Whether there is something at a path of keys."""
    for part in key:
        if isinstance(values, Mapping):
            if part not in values:
                return False
            values = values[part]
    return True
