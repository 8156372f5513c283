"""A run's configuration is made of layers: defaults, preset, config file, command line.

Later layers win. What comes out is complete: every option of the strategy, the suite and the
observers is in it, and no preset any more, so that it says the same when defaults or presets
change. This is the one place where a config is completed; the command line, Python, resuming,
loading and comparisons all come here.
"""

import copy
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ..data.head_choice import AuxiliaryHead
from ..plugins.guard import Guard
from ..plugins.options import NamedOptions
from ..support.arguments import complete_arguments
from ..support.errors import MtlError, UnknownNameError, message_of
from ..support.validation import KeyPath, Locate, dotted, shortened, shown, unknown_key, validated
from ..support.yamls import read_yaml
from .config import RunConfig
from .layering import apply, holds, merge, training_with_options
from .settings import Setting

if TYPE_CHECKING:
    from ..plugins.manager import Plugins
    from ..strategies.strategy import Strategy, StrategyConfig

NAMED = ("strategy", "backbone", "suite")
# the head by default, and its options, of runs from before configs had it; never to be changed
_FORMER_HEAD = {"name": "fpn", "width": 64, "dropout": 0.0}
_PRESET = ("strategy", "preset")


@dataclass(frozen=True)
class Layer:
    """A layer holds some of a config's keys.

    Args:
        values: nested as in a config file; ``strategy: lws`` may stand for a name alone.
        source: file or preset that they come from; empty: the command line.
        lines: line numbers of the keys in the file, by path.
    """

    values: Mapping[str, Any]
    source: str = ""
    lines: Mapping[KeyPath, int] = field(default_factory=dict)


def read_file(path: Path) -> Layer:
    """Read a config file.

    Raises:
        MtlError: naming file and line if it cannot be read or is not a mapping of keys to values.
    """
    values, lines = read_yaml(path)
    return Layer(values, str(path), lines)


@dataclass(frozen=True)
class ResolvedConfig:
    """This is a complete configuration, with what the strategy's name in it stands for.

    Args:
        config: the complete configuration, as in ``config.yaml``.
        strategy_class: the class that the config names.
        options: options of the strategy, an instance of its ``Config``.
        guard: calls the code of the strategy's plugin.
    """

    config: RunConfig
    strategy_class: "type[Strategy]"
    options: "StrategyConfig"
    guard: Guard = field(compare=False)

    def strategy(self, options: "StrategyConfig", seed: int) -> "Strategy":
        """Make a strategy, which has built nothing yet; errors in its code name its plugin.

        Args:
            options: options of the strategy.
            seed: seed of its generators.
        """
        from .guarded import guarded_strategy

        return guarded_strategy(self.strategy_class, options, seed, self.guard)


def resolve(
    plugins: "Plugins", layers: Sequence[Layer] = (), settings: Sequence[Setting] = ()
) -> ResolvedConfig:
    """Complete the configuration of a run.

    A layer's options for a strategy or suite are dropped where a later layer names another one.
    A setting whose first key is no top-level key is an option of the strategy. A preset may stand
    at the top, which wins, or within the strategy.

    Args:
        plugins: where strategy and suite, and thus their options, are looked up.
        layers: the lowest first.
        settings: applied after all layers, in their order.

    Raises:
        MtlError: naming the first key that is wrong, where it stands, its value and what is
            allowed.
    """
    layers = [_normalized(layer) for layer in layers]
    defaults = Layer({key: {"name": getattr(RunConfig(), key).name} for key in NAMED})
    settings = [_with_name(setting) for setting in settings]
    strategy_name = _name("strategy", [defaults, *layers], settings)
    strategy = plugins.strategy(strategy_name)
    preset = _preset(strategy_name, strategy, layers, settings)
    layers = [defaults, *([preset] if preset else []), *layers]
    settings = [_placed(s, strategy) for s in settings if s.key != ("preset",)]

    names = {key: _name(key, layers, settings) for key in NAMED}
    values: dict[str, Any] = {}
    for layer in layers:
        merge(values, layer.values, names, NAMED)
    values = copy.deepcopy(values)  # settings go deep, and a preset belongs to its strategy
    for setting in settings:
        apply(values, setting)
    locate = _locator(layers, {setting.key for setting in settings})
    config = validated(RunConfig, values, locate=locate)
    guard = plugins.guard("strategy", strategy_name)
    with guard("Config"):
        options = validated(strategy.Config, config.strategy.options, ("strategy",), locate)
        plain = options.model_dump(mode="json")
    plugins.backbone(config.backbone.name)  # an unknown name should be told before any work
    complete = {
        **plain_values(config.model_dump(), "the config"),
        "heads": {
            task: _head(given, plugins, ("heads", task), locate)
            for task, given in config.heads.items()
        },
        "auxiliary_heads": {
            task: _auxiliary_head(given, plugins, ("auxiliary_heads", task), locate)
            for task, given in config.auxiliary_heads.items()
        },
        "default_head": _head(config.default_head, plugins, ("default_head",), locate),
        "strategy": {"name": strategy_name, **plain},
        "suite": _completed(config.suite, plugins.suite, ("suite",), locate),
        "observers": [
            _completed(observer, plugins.observer, ("observers", str(position)), locate)
            for position, observer in enumerate(config.observers)
        ],
    }
    return ResolvedConfig(validated(RunConfig, complete), strategy, options, guard)


def resolved(config: RunConfig | ResolvedConfig, plugins: "Plugins") -> ResolvedConfig:
    """Complete a configuration that Python code has made, unless it is complete already.

    Raises:
        MtlError: on the same problems as :func:`resolve`.
    """
    if isinstance(config, ResolvedConfig):
        return config
    return resolve(plugins, [Layer(config.model_dump())])  # as it is: JSON has no NaN


def completed(saved: Mapping[str, Any], plugins: "Plugins") -> Mapping[str, Any]:
    """Add to a saved config the options of later versions, at their defaults.

    A config that does not fit the installed plugins is returned unchanged.
    """
    try:
        return resolve(plugins, [former(Layer(saved), plugins)]).config.model_dump(mode="json")
    except MtlError:
        return saved


def former(layer: Layer, plugins: "Plugins") -> Layer:
    """Add to a saved config what a run did before some options existed.

    A suite whose new option changes what it does by default says what it did before in its
    attribute ``options_before``: a mapping of options to values. So does a head; a strategy's
    config says it by its method of that name.

    Raises:
        MtlError: if the suite, a head or the strategy is not known.
    """
    values = {"default_head": _FORMER_HEAD, **layer.values}
    training = values.get("training")
    if isinstance(training, Mapping) and isinstance(training.get("average"), Mapping):
        values["training"] = {**training, "average": {"warmup": False, **training["average"]}}
    heads = values.get("heads")
    if isinstance(heads, Mapping):
        values["heads"] = {task: _former_head(given, plugins) for task, given in heads.items()}
    suite = values.get("suite")
    if isinstance(suite, Mapping) and isinstance(suite.get("name"), str):
        before = getattr(plugins.suite(suite["name"]), "options_before", {})
        values["suite"] = {**before, **suite}
    strategy = values.get("strategy")
    if isinstance(strategy, Mapping) and isinstance(strategy.get("name"), str):
        kind = plugins.strategy(strategy["name"])
        values["strategy"] = {**kind.Config.options_before(strategy), **strategy}
    return dataclasses.replace(layer, values=values)


def _former_head(given: Any, plugins: "Plugins") -> Any:
    head = {"name": given} if isinstance(given, str) else given
    if not isinstance(head, Mapping) or not isinstance(head.get("name"), str):
        return given
    return {**getattr(plugins.head(head["name"]), "options_before", {}), **head}


def plain_values(values: Any, where: str) -> Any:
    """Convert values to what a config file can hold: text, numbers, lists and mappings.

    Raises:
        MtlError: if one of them is something else, or contains itself.
    """
    try:
        return to_jsonable_python(values)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        reason = message_of(error)
        raise MtlError(f"{where} holds what no config file can: {shortened(reason)}") from error


def _completed(
    named: NamedOptions, find: Callable[[str], Callable[..., Any]], prefix: KeyPath, locate: Locate
) -> dict[str, Any]:
    """Return a plugin's name with all options that its factory takes."""
    factory = find(named.name)
    return {"name": named.name, **complete_arguments(factory, named.options, prefix, locate)}


def _head(
    given: Mapping[str, Any], plugins: "Plugins", prefix: KeyPath, locate: Locate
) -> dict[str, Any]:
    """Return a head's name with all its options."""
    name = given.get("name")
    if not isinstance(name, str):
        raise MtlError(f"{locate(prefix)}{dotted(prefix)} should have a name, found {dict(given)}")
    options = {option: value for option, value in given.items() if option != "name"}
    complete = complete_arguments(plugins.head(name), options, prefix, locate)
    return {"name": name, **plain_values(complete, dotted(prefix))}


def _auxiliary_head(
    given: Mapping[str, Any], plugins: "Plugins", prefix: KeyPath, locate: Locate
) -> dict[str, Any]:
    """Return an auxiliary head's name with all its options, and the weight of its loss."""
    rest = {option: value for option, value in given.items() if option != "loss_weight"}
    weight = given.get("loss_weight", AuxiliaryHead.loss_weight)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < inf:
        key = (*prefix, "loss_weight")
        raise MtlError(
            f"{locate(key)}{dotted(key)} should be a number above 0, found {shown(weight)}"
        )
    return {**_head(rest, plugins, prefix, locate), "loss_weight": float(weight)}


def _normalized(layer: Layer) -> Layer:
    """Spell out ``name`` for plugins, and move a strategy's ``preset`` to the top."""
    values = dict(layer.values)
    for key in NAMED:
        if isinstance(values.get(key), str):
            values[key] = {"name": values[key]}
        elif key in values and not isinstance(values[key], Mapping):
            line = layer.lines.get((key,))
            where = f"{layer.source}{f':{line}' if line else ''}: " if layer.source else ""
            raise MtlError(
                f"{where}{key} should be a name, or a mapping with a name and options; "
                f"found {shown(values[key])}"
            )
    if isinstance(values.get("training"), Mapping):
        values["training"] = training_with_options(values["training"])
    if "preset" in values.get("strategy", {}):  # as the entries of a comparison have it
        strategy = dict(values["strategy"])
        values = {"preset": strategy.pop("preset"), **values, "strategy": strategy}
    return Layer(values, layer.source, layer.lines)


def _with_name(setting: Setting) -> Setting:
    if len(setting.key) == 1 and setting.key[0] in NAMED:
        return Setting((*setting.key, "name"), setting.value)
    return Setting(("preset",), setting.value) if setting.key == _PRESET else setting


def _name(key: str, layers: Sequence[Layer], settings: Sequence[Setting]) -> str:
    """Return the plugin's name in the topmost layer or setting that has one."""
    named = [layer.values[key]["name"] for layer in layers if "name" in layer.values.get(key, {})]
    named += [setting.value for setting in settings if setting.key == (key, "name")]
    if not isinstance(named[-1], str):
        raise MtlError(f"{key}.name should be a name, found {shown(named[-1])}")
    return named[-1]


def _preset(
    name: str,
    strategy: "type[Strategy]",
    layers: Sequence[Layer],
    settings: Sequence[Setting],
) -> Layer | None:
    wanted = [layer.values["preset"] for layer in layers if "preset" in layer.values]
    wanted += [setting.value for setting in settings if setting.key == ("preset",)]
    if not wanted or wanted[-1] is None:
        return None
    preset = wanted[-1]
    if not isinstance(preset, str):
        raise MtlError(f"preset should be a name, found {shown(preset)}")
    if preset not in strategy.presets:
        raise UnknownNameError("preset", preset, strategy.presets, f"of strategy {name!r}")
    source = f"preset {preset!r} of strategy {name!r}"
    values = strategy.presets[preset]
    if not isinstance(values, Mapping):
        raise MtlError(f"{source} should be a mapping of a config's keys, found {shown(values)}")
    layer = _normalized(Layer(plain_values(values, source), source))
    if layer.values.get("strategy", {}).get("name", name) != name:
        raise MtlError(f"{source} is for strategy {layer.values['strategy']['name']!r}")
    return layer


def _placed(setting: Setting, strategy: "type[Strategy]") -> Setting:
    """Return a setting's full key: what is not at the top is an option of the strategy."""
    first = setting.key[0]
    if first in RunConfig.model_fields:
        return setting
    if first in strategy.Config.model_fields:
        return Setting(("strategy", *setting.key), setting.value)
    raise unknown_key((first,), [*RunConfig.model_fields, "preset", *strategy.Config.model_fields])


def _locator(layers: Sequence[Layer], overridden: Collection[KeyPath]) -> Locate:
    """Return a function that names the file and line of a key; empty for the command line."""

    def locate(key: KeyPath) -> str:
        if any(key[: len(path)] == path for path in overridden):
            return ""
        for layer in reversed(layers):
            if holds(layer.values, key):
                line = layer.lines.get(key)
                place = f"{layer.source}:{line}" if line else layer.source
                return f"{place}: " if place else ""
        return ""

    return locate
