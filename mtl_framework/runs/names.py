"""A run's folder is by default named after its choices and what differs from the defaults."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..plugins.given import shown_name
from ..plugins.manager import Plugins
from .config import RunConfig
from .folder import CHANGEABLE, without
from .resolve import Layer, resolve

QUICK = "quick"  # the preset that a run takes by itself where nothing says how it should train

_MOST_OPTIONS = 3
_MOST_CHARACTERS = 24  # of a name, or of an option and its value
_NAMED = ("strategy", "suite", "backbone")


def run_name(config: RunConfig, plugins: Plugins) -> str:
    """Return ``SUITE-STRATEGY-BACKBONE-sSEED`` and the options that differ from the defaults.

    Those of the preset ``quick`` stand as ``preset=quick``, others as ``samples=4``, at most three
    of them; where there are more, or one is long, the beginning of a digest of all stands at the
    end, so that different options never have one name. What may change when a run goes on is not
    in it.

    Args:
        config: the complete configuration.
        plugins: where the defaults are looked up.
    """
    names = [config.suite.name, config.strategy.name, config.backbone.name, f"s{config.seed}"]
    changed = dict(_changed(config, plugins))
    texts = [f"{key}={_value(value)}" for key, value in changed.items()]
    parts = [_plain(shown_name(name)) for name in names] + [_plain(text) for text in texts]
    exact = parts == names + texts
    del parts[len(names) + _MOST_OPTIONS :]
    if not exact or len(changed) > _MOST_OPTIONS:
        text = json.dumps([names, changed], sort_keys=True, default=str)
        parts.append(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6])
    return "-".join(parts)


def _changed(config: RunConfig, plugins: Plugins) -> Iterator[tuple[str, Any]]:
    """Yield the options that differ from their defaults: the strategy's, then the others'."""
    mine = without(config.model_dump(mode="json"), CHANGEABLE)
    given = config.suite.options
    needed = {key: given[key] for key in _needed(config, plugins) if key in given}
    layer = {
        "strategy": {"name": config.strategy.name},
        "suite": {"name": config.suite.name, **needed},
        "backbone": {"name": config.backbone.name},
        "seed": config.seed,
    }
    default = _complete(layer, plugins)
    if QUICK in plugins.strategy(config.strategy.name).presets:
        quick = _complete({**layer, "preset": QUICK}, plugins)
        if mine["strategy"] == quick["strategy"]:
            yield "preset", QUICK
            default = quick
    for key in needed:
        default["suite"].pop(key)
    for section in (*_NAMED, *(key for key in mine if key not in _NAMED)):
        here: Any = mine[section]
        there: Any = default.get(section)
        if section not in _NAMED:
            if here != there:
                yield section, here
            continue
        for key, value in here.items():
            if key not in there or value != there[key]:
                yield key, value


def _complete(layer: Mapping[str, Any], plugins: Plugins) -> dict[str, Any]:
    """Return a complete config without what may change when a run goes on."""
    return without(resolve(plugins, [Layer(layer)]).config.model_dump(mode="json"), CHANGEABLE)


def _needed(config: RunConfig, plugins: Plugins) -> list[str]:
    """Return the options of the suite that have no default."""
    from ..support.option_types import MISSING, function_types

    types = function_types(plugins.suite(config.suite.name))
    return [name for name, (_, default) in types.items() if default is MISSING]


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "+".join(f"{key}={_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "+".join(_value(item) for item in value)
    return json.dumps(value)


def _plain(text: str) -> str:
    """Turn a text into a part of a file's name that every system allows."""
    return re.sub(r"[^\w.=+-]", "_", text)[:_MOST_CHARACTERS]
