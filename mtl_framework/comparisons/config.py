"""A comparison's YAML file lists suites, backbones, strategies and seeds; all is checked at once.

```yaml
suite: alphabets               # or suites: [a list]
backbone: {name: resnet18}     # or backbones: [a list]
strategies:
  - no_sharing
  - {name: lws, as: LWS K=2, weights_per_unit: 2}
  - {name: lws, as: LWS AdamW, with: {training: {optimizer: adamw}}}  # keys of a run's config
seeds: 5                       # 0 to 4; or a list
iterations: 500                # and any other key of a run's config
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..backbones.config import BackboneConfig
from ..plugins.manager import Plugins
from ..runs.config import RunConfig
from ..runs.resolve import Layer, resolve
from ..support.arguments import argument_faults, takes
from ..support.errors import MtlError, UnknownNameError
from ..support.names import can_be_shown
from ..support.validation import KeyPath, model_faults, shown, unknown_key
from ..support.yamls import read_yaml
from .choice import Choice
from .problems import Problems
from .settings import Settings

_LISTS = {"suite": "suites", "backbone": "backbones", "strategy": "strategies"}
SHARED = tuple(key for key in RunConfig.model_fields if key not in {*_LISTS, "seed"})


MOST_CELLS = 100_000


@dataclass(frozen=True)
class Variant:
    """A variant is one strategy on one suite and backbone: a complete run config but its seed."""

    strategy: str
    suite: str
    backbone: str
    config: RunConfig


@dataclass(frozen=True)
class ComparisonConfig:
    """A checked comparison has settings, and variants with suites outermost."""

    settings: Settings
    variants: tuple[Variant, ...]


def read_comparison(
    path: Path, plugins: Plugins, overrides: Mapping[str, Any] | None = None
) -> ComparisonConfig:
    """Read and check a comparison's YAML file.

    Args:
        path: path of the YAML file.
        plugins: plugins in which strategies, backbones and suites are looked up.
        overrides: top-level keys that win over the file's; ``suite.data_root`` is set for every
            suite that has this option.

    Raises:
        ConfigProblemsError: with every fault that was found, each with its line and key.
        MtlError: if the file cannot be read, or is not YAML.
    """
    values, lines = read_yaml(path)
    return check_comparison(values, str(path), plugins, overrides, lines)


def check_comparison(
    values: Mapping[str, Any],
    source: str,
    plugins: Plugins,
    overrides: Mapping[str, Any] | None = None,
    lines: Mapping[KeyPath, int] | None = None,
) -> ComparisonConfig:
    """Check the content of a comparison's file.

    Args:
        values: the file's top-level keys and values.
        source: name of the content's origin in messages.
        plugins: plugins in which names are looked up.
        overrides: top-level keys that win over ``values``, as in :func:`read_comparison`.
        lines: line number of every key, by its path.

    Raises:
        ConfigProblemsError: with every fault that was found.
    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    data_root = given.pop("suite.data_root", None)
    ways = {key: (one, several) for one, several in _LISTS.items() for key in (one, several)}
    replaced = {key for new in given for key in ways.get(new, (new,))}
    values = {**{key: v for key, v in values.items() if key not in replaced}, **given}
    kept = {key: line for key, line in (lines or {}).items() if key[0] not in given}
    problems = Problems(source, kept)
    found = _Reader(values, plugins, problems, data_root, given).read()
    problems.raise_any()
    assert found is not None
    return found


class _Reader:
    def __init__(
        self,
        values: dict[str, Any],
        plugins: Plugins,
        problems: Problems,
        data_root: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.values = values
        self.given = {key: value for key, value in (given or {}).items() if key in SHARED}
        self.plugins = plugins
        self.problems = problems
        self.data_root = data_root

    def read(self) -> ComparisonConfig | None:
        known = [*Settings.model_fields, *SHARED, *_LISTS, *_LISTS.values()]
        for name in self.values:
            if name not in known:
                self.problems.add(unknown_key((str(name),), known), (str(name),))
        settings = self._settings()
        # weights of finished cells are removed, unless the file says that they stay
        shared = {"keep": "none", **self._part(RunConfig, SHARED)}
        self.problems.add_all(model_faults(RunConfig, shared))
        if str(shared.get("device", "")).startswith("cuda:"):
            text = (
                f"device should be auto, cpu, cuda or mps, found {shared['device']!r}; cells get "
                "their GPUs by --gpus-per-run"
            )
            self.problems.add(MtlError(text), ("device",))
        suites = self._located(self._choices("suite", self._check_suite))
        backbones = self._choices("backbone", self._check_backbone)
        strategies = self._choices("strategy", self._check_strategy)
        self._check_controls(settings)
        baseline, labels = self.values.get("baseline"), [choice.label for choice in strategies]
        if isinstance(baseline, str) and baseline not in labels:
            unknown = UnknownNameError("strategy", baseline, labels)
            self.problems.add(MtlError(f"baseline: {unknown}"), ("baseline",))
        cells = (
            len(suites) * len(backbones) * len(strategies) * len(settings.seeds if settings else ())
        )
        if cells > MOST_CELLS:
            text = f"{cells:,} runs are more than {MOST_CELLS:,}: compare less at once"
            self.problems.add(MtlError(text), ())
        if self.problems.found or settings is None:
            return None
        variants = [
            self._variant(shared, suite, backbone, strategy)
            for suite in suites
            for backbone in backbones
            for strategy in strategies
        ]
        self._check_different(variants)
        return ComparisonConfig(settings, tuple(v for v in variants if v is not None))

    def _part(self, model: type[BaseModel], keys: Sequence[str]) -> dict[str, Any]:
        return {key: self.values[key] for key in keys if key in self.values}

    def _settings(self) -> Settings | None:
        part = self._part(Settings, tuple(Settings.model_fields))
        faults = model_faults(Settings, part)
        self.problems.add_all(faults)
        return None if faults else Settings(**part)

    def _check_controls(self, settings: Settings | None) -> None:
        if settings is None or not settings.controls:
            return
        wanted = {"retrain_with": {"retrained", "permuted"}, "roam_with": {"roaming"}}
        for key, kinds in wanted.items():
            if not kinds & set(settings.controls):
                continue
            name = getattr(settings, key)
            try:
                options = self.plugins.strategy(name).Config.model_fields
            except MtlError as error:
                self.problems.add(MtlError(f"{key}: {error}"), (key,))
                continue
            if key == "retrain_with" and "matrix" not in options:
                text = f"{key} should name a strategy with an option matrix, found {name!r}"
                self.problems.add(MtlError(text), (key,))

    def _choices(self, kind: str, check: Any) -> list[Choice]:
        """Read the entries of ``suites`` or ``suite``, and so on; one entry needs no list."""
        plural = _LISTS[kind]
        present = [key for key in (kind, plural) if key in self.values]
        if len(present) == 2:
            self.problems.add(MtlError(f"{kind} and {plural} exclude each other"), (kind,))
        if not present:
            if kind == "strategy":
                self.problems.add(MtlError("strategies is missing: name those to compare"), ())
                return []
            values = RunConfig().model_dump()[kind]
            return [Choice(values["name"], {"name": values["name"]})]
        key = present[0]
        raw = self.values[key]
        entries = (
            [((key, str(n)), item) for n, item in enumerate(raw)]
            if isinstance(raw, list)
            else [((key,), raw)]
        )
        if not entries:
            self.problems.add(MtlError(f"{key} should name at least one {kind}"), (key,))
        found: list[Choice] = []
        for place, item in entries:
            choice = self._choice(place, item)
            if choice is None:
                continue
            if choice.label in [other.label for other in found]:
                text = f"{'.'.join(place)}: {choice.label!r} occurs twice; name one with `as:`"
                self.problems.add(MtlError(text), place)
            check(place, choice)
            found.append(choice)
        return found

    def _located(self, suites: list[Choice]) -> list[Choice]:
        """Set the command line's ``--data-root`` in every suite that has this option."""
        if self.data_root is None or self.problems.found:
            return suites
        readers = [c for c in suites if takes(self.plugins.suite(c.values["name"]), "data_root")]
        if not readers:
            names = ", ".join(choice.label for choice in suites)
            self.problems.add(MtlError(f"--data-root is given, but {names} reads no files"), ())
        return [
            replace(c, values={**c.values, "data_root": self.data_root}) if c in readers else c
            for c in suites
        ]

    def _choice(self, place: KeyPath, item: Any) -> Choice | None:
        values = {"name": item} if isinstance(item, str) else item
        name = values.get("name") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not isinstance(name, str):
            text = (
                f"{'.'.join(place)} should be a name, or a mapping with a name, found {shown(item)}"
            )
            self.problems.add(MtlError(text), place)
            return None
        label = values.get("as", name)
        if not isinstance(label, str) or not can_be_shown(label):
            text = f"{'.'.join(place)}.as should be a short text, found {shown(label)}"
            self.problems.add(MtlError(text), (*place, "as"))
            return None
        sections = values.get("with", {})
        if not isinstance(sections, Mapping):
            name = ".".join((*place, "with"))
            text = f"{name} should hold keys of a run's config, found {shown(sections)}"
            self.problems.add(MtlError(text), (*place, "with"))
            return None
        options = {k: v for k, v in values.items() if k not in ("as", "preset", "with")}
        preset = values.get("preset")
        if preset is not None and not isinstance(preset, str):
            text = f"{'.'.join(place)}.preset should be a name, found {shown(preset)}"
            self.problems.add(MtlError(text), (*place, "preset"))
            return None
        return Choice(label, options, preset, sections)

    def _check_suite(self, place: KeyPath, choice: Choice) -> None:
        self._refuse_preset(place, choice)
        try:
            factory = self.plugins.suite(choice.values["name"])
        except MtlError as error:
            self.problems.add(error, (*place, "name"))
            return
        options = {k: v for k, v in choice.values.items() if k != "name"}
        self.problems.add_all(argument_faults(factory, options, place))

    def _check_backbone(self, place: KeyPath, choice: Choice) -> None:
        self._refuse_preset(place, choice)
        self.problems.add_all(model_faults(BackboneConfig, choice.values, place))
        try:
            self.plugins.backbone(choice.values["name"])
        except MtlError as error:
            self.problems.add(error, (*place, "name"))

    def _check_sections(self, place: KeyPath, choice: Choice) -> None:
        place = (*place, "with")
        for key in choice.sections:
            if key not in SHARED:
                self.problems.add(unknown_key((*place, str(key)), SHARED), (*place, str(key)))
        known = {key: value for key, value in choice.sections.items() if key in SHARED}
        self.problems.add_all(model_faults(RunConfig, known, place))

    def _check_strategy(self, place: KeyPath, choice: Choice) -> None:
        self._check_sections(place, choice)
        name = choice.values["name"]
        try:
            strategy = self.plugins.strategy(name)
        except MtlError as error:
            self.problems.add(error, (*place, "name"))
            return
        if choice.preset is not None:
            if choice.preset not in strategy.presets:
                unknown = UnknownNameError(
                    "preset", choice.preset, strategy.presets, f"of strategy {name!r}"
                )
                self.problems.add(unknown, (*place, "preset"))
            return  # the options are complete only together with the preset's
        options = {k: v for k, v in choice.values.items() if k != "name"}
        self.problems.add_all(model_faults(strategy.Config, options, place))

    def _refuse_preset(self, place: KeyPath, choice: Choice) -> None:
        if choice.sections:
            text = f"{'.'.join(place)}.with: only strategies have it"
            self.problems.add(MtlError(text), (*place, "with"))
        if choice.preset is not None:
            text = f"{'.'.join(place)}.preset: only strategies have presets"
            self.problems.add(MtlError(text), (*place, "preset"))

    def _variant(
        self, shared: Mapping[str, Any], suite: Choice, backbone: Choice, strategy: Choice
    ) -> Variant | None:
        values = {
            **shared,
            "suite": suite.values,
            "backbone": backbone.values,
            "strategy": strategy.values,
        }
        if strategy.preset is not None:
            values["preset"] = strategy.preset
        try:
            layers = [Layer(values), Layer(strategy.sections), Layer(self.given)]
            config = resolve(self.plugins, layers).config
        except MtlError as error:
            self.problems.add(MtlError(f"strategy {strategy.label!r}: {error}"), ())
            return None
        return Variant(strategy.label, suite.label, backbone.label, config)

    def _check_different(self, variants: Sequence[Variant | None]) -> None:
        seen: dict[str, Variant] = {}
        for variant in variants:
            if variant is None:
                continue
            text = variant.config.model_dump_json()
            if text in seen:
                first, second = seen[text], variant
                names = " and ".join(
                    repr(f"{v.strategy}, {v.suite}, {v.backbone}") for v in (first, second)
                )
                self.problems.add(MtlError(f"{names} have the same config: drop one"), ())
            seen[text] = variant
