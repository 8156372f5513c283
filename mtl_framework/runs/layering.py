"""Layers of a config are merged, later ones over earlier ones, and settings over all."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..support.errors import MtlError
from ..support.validation import KeyPath, dotted, shown
from .settings import Setting

# merged key by key, layer over layer
_SECTIONS = (
    "training",
    "objectives",
    "augmentation",
    "metrics",
    "heads",
    "auxiliary_heads",
    "default_head",
)
_NAMED_TRAINING = ("optimizer", "schedule", "average", "weighting")


def training_with_options(training: Mapping[str, Any]) -> dict[str, Any]:
    """Turn names in the section ``training`` into mappings with ``name``."""
    return {
        key: _with_options(value) if key in _NAMED_TRAINING else value
        for key, value in training.items()
    }


def _with_options(value: Any) -> Any:
    """Turn a name into a mapping with ``name``, which can hold options, too."""
    return {"name": value} if isinstance(value, str) else value


def merge(
    values: dict[str, Any], layer: Mapping[str, Any], names: Mapping[str, str], named: Sequence[str]
) -> None:
    """Merge a layer over the values of lower layers.

    Args:
        values: the merged values of the lower layers; they are changed.
        layer: the layer to merge over them.
        names: names of strategy, backbone and suite that hold after all layers.
        named: keys of ``names``; their options are dropped where a layer names another plugin.
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
    """Merge a section over that of a lower layer, section by section.

    Where its ``name`` differs, the options of the lower layer are dropped.
    """
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    if "name" in above and above["name"] != below.get("name", above["name"]):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


def apply(values: dict[str, Any], setting: Setting) -> None:
    """Set one key in a config's values.

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
    """Place a setting of an optimiser, schedule etc. that may be given as a name alone."""
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
    """Say whether a path of keys exists in nested values."""
    for part in key:
        if isinstance(values, Mapping):
            if part not in values:
                return False
            values = values[part]
    return True
