"""A tuning's YAML file is a run's config, with a section on what is searched.

```yaml
strategy: {name: lws, credit: task}
backbone: dkl_convnet
iterations: 500
eval_every: 50
tune:
  options:
    learning_rate: {low: 1e-4, high: 1e-2, log: true}
    nes_samples: {low: 2, high: 16}           # whole numbers
    prior: [uniform, shared]                  # choices
    training.weight_decay: [0, 0.01, 0.1]     # any key of a run's config
  trials: 30
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...plugins.manager import Plugins
from ...runs.config import RunConfig
from ...runs.resolve import Layer, resolve
from ...runs.settings import Setting
from ...support.errors import MtlError
from ...support.validation import unknown_key, validated
from ...support.yamls import read_yaml
from .space import Dimension, read_space

SECTION = "tune"


class TuneConfig(BaseModel):
    """The section ``tune`` says what is searched, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    options: dict[str, Any] = Field(
        description="options that are searched, by their keys in a run's config (a bare key is an "
        "option of the strategy): a list of choices, or a range {low, high} with log: true or step"
    )
    trials: int = Field(
        default=20, ge=1, le=100_000, description="number of settings that are tried in all"
    )
    seeds: int = Field(
        default=1,
        ge=1,
        le=100,
        description="number of runs of every trial, with seeds from that of the config on; their "
        "mean counts",
    )
    select: Literal["last", "best"] = Field(
        default="last",
        description="networks of a run that count: those after the last step, or those that "
        "validation prefers",
    )
    sampler: Literal["tpe", "random", "grid"] = Field(
        default="tpe",
        description="how settings are proposed: by the tree-structured Parzen estimator of Optuna, "
        "at random, or all combinations of choices (and of ranges with a step)",
    )
    pruner: Literal["median", "halving", "none"] = Field(
        default="median",
        description="which trials are ended early, by their validation curves: those worse than "
        "the median of the earlier ones at the same iteration, those that successive halving "
        "drops, or none",
    )
    warmup: int | None = Field(
        default=None,
        ge=0,
        description="number of iterations before a trial may be ended early; default: a fifth of "
        "the run",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of the search")


@dataclass(frozen=True)
class Tuning:
    """A checked tuning says how to search, in which space, around which config of a run.

    Args:
        config: the section ``tune``.
        space: the options that are searched.
        layers: layers of the run's config.
        settings: settings that win over the layers; the options of a trial win over both.
        base: the config without any of the options, complete.
    """

    config: TuneConfig
    space: tuple[Dimension, ...]
    layers: tuple[Layer, ...]
    settings: tuple[Setting, ...]
    base: RunConfig

    @property
    def seeds(self) -> range:
        """Return the seeds of a trial's runs."""
        return range(self.base.seed, self.base.seed + self.config.seeds)

    def run_config(self, plugins: Plugins, values: Mapping[str, Any], seed: int = 0) -> RunConfig:
        """Return the complete config of a trial's run.

        Args:
            plugins: plugins in which names are looked up.
            values: values of the options, by the names of their dimensions.
            seed: number of the run among those of the trial; 0 has the config's own seed.

        Raises:
            MtlError: if the options do not go together.
        """
        chosen = [d.setting(values[d.name]) for d in self.space if d.name in values]
        found = resolve(plugins, self.layers, [*self.settings, *chosen]).config
        return found.model_copy(update={"seed": found.seed + seed})


def read_tuning(
    path: Path,
    plugins: Plugins,
    overrides: Mapping[str, Any] | None = None,
    settings: Sequence[Setting] = (),
) -> Tuning:
    """Read and check a tuning's YAML file; every option is tried with its ends or choices.

    Args:
        path: path of the YAML file.
        plugins: plugins in which names are looked up.
        overrides: keys of the section ``tune`` that win over the file's, ``None`` aside.
        settings: settings of the run's config that win over the file's.

    Raises:
        MtlError: naming the key that is wrong, the value found and what is allowed.
    """
    values, lines = read_yaml(path)
    if SECTION not in values:
        known = [*RunConfig.model_fields, SECTION]
        for name in values:
            if name not in known:
                raise unknown_key((str(name),), known)
        raise MtlError(
            f"{path} has no section {SECTION}: it says what is searched, e.g. "
            f"{SECTION}: {{options: {{learning_rate: {{low: 1e-4, high: 1e-2, log: true}}}}}}"
        )
    section = values[SECTION]
    if not isinstance(section, Mapping):
        raise MtlError(f"{path}: {SECTION} should hold keys and values, found {section!r}")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    config = validated(TuneConfig, {**section, **given}, (SECTION,))
    space = read_space(config.options, f"{SECTION}.options")
    rest = {key: value for key, value in values.items() if key != SECTION}
    kept = {key: line for key, line in lines.items() if key[0] != SECTION}
    layers = (Layer({"keep": "none"}), Layer(rest, str(path), kept))
    base = resolve(plugins, layers, settings).config
    _check_length(config, base)
    for dimension in space:
        if dimension.setting(None).key == ("seed",):
            raise MtlError(f"{SECTION}.options: a seed is no option; see {SECTION}.seeds")
        for value in dimension.examples:
            try:
                resolve(plugins, layers, [*settings, dimension.setting(value)])
            except MtlError as error:
                raise MtlError(f"{SECTION}.options.{dimension.name}: {error}") from error
    return Tuning(config, space, layers, tuple(settings), base)


def _check_length(config: TuneConfig, base: RunConfig) -> None:
    """Refuse a search that prunes runs without a curve."""
    if config.pruner != "none" and base.eval_every >= base.iterations:
        raise MtlError(
            f"eval_every is {base.eval_every} in runs of {base.iterations} iterations, so that no "
            f"trial can be ended early: lower it, or set {SECTION}.pruner to none"
        )
