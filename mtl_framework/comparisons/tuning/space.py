"""The space of a search has ranges of numbers and lists of choices, by keys of a config."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator

from ...runs.settings import Setting, key_of
from ...support.errors import MtlError
from ...support.validation import shown, validated

if TYPE_CHECKING:
    from optuna.trial import Trial

Number: TypeAlias = int | float


class Range(BaseModel):
    """A range holds the numbers that an option may have, both ends included.

    Where both ends (and the step) are whole numbers, so are its values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low should be below high, found {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low should be above 0 where log is true, found {self.low}")
        if self.step is not None:
            if self.log:
                raise ValueError("step and log exclude each other")
            if not 0 < self.step <= self.high - self.low:
                raise ValueError(f"step should fit between low and high, found {self.step}")
        return self

    @property
    def whole(self) -> bool:
        """Say whether the values are whole numbers."""
        ends = (self.low, self.high, *([] if self.step is None else [self.step]))
        return all(isinstance(number, int) for number in ends)


@dataclass(frozen=True)
class Dimension:
    """A dimension is one option that is searched, and what it may be.

    Args:
        name: key of the option as the file has it, e.g. ``learning_rate`` or ``suite.size``.
        values: a range of numbers, or the choices.
    """

    name: str
    values: Range | tuple[Any, ...]

    @property
    def examples(self) -> tuple[Any, ...]:
        """Return values to try the option with: both ends of a range, or all choices."""
        if isinstance(self.values, Range):
            return self.values.low, self.values.high
        return self.values

    @property
    def is_log(self) -> bool:
        """Say whether the option is drawn, and shown, on a logarithmic scale."""
        return isinstance(self.values, Range) and self.values.log

    def suggest(self, trial: "Trial") -> Any:
        """Return the value that a trial is given."""
        if not isinstance(self.values, Range):
            return self.value_of(trial.suggest_categorical(self.name, self.texts))
        low, high, step = self.values.low, self.values.high, self.values.step
        if self.values.whole:
            return trial.suggest_int(
                self.name, int(low), int(high), step=int(step or 1), log=self.values.log
            )
        return trial.suggest_float(
            self.name,
            float(low),
            float(high),
            step=None if step is None else float(step),
            log=self.values.log,
        )

    def value_of(self, stored: Any) -> Any:
        """Return the value that a data base has stored; ``None``: none was drawn."""
        listed = not isinstance(self.values, Range)
        return json.loads(stored) if listed and stored is not None else stored

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the choices as texts, which any data base can hold."""
        assert not isinstance(self.values, Range)
        return tuple(json.dumps(choice) for choice in self.values)

    def setting(self, value: Any) -> Setting:
        """Return the setting of a config that gives the option a value."""
        return Setting(key_of(self.name), value)


def read_space(options: Mapping[str, Any], where: str) -> tuple[Dimension, ...]:
    """Read what options may be: a list of choices, or a mapping with ``low`` and ``high``.

    Args:
        options: ranges and choices by key.
        where: name of the mapping, for messages.

    Raises:
        MtlError: naming the key that is none, or whose range or choices are wrong.
    """
    if not options:
        raise MtlError(f"{where} should name at least one option to search, e.g. learning_rate")
    return tuple(_dimension(str(name), given, where) for name, given in options.items())


def _dimension(name: str, given: Any, where: str) -> Dimension:
    key_of(name)
    place = f"{where}.{name}"
    if isinstance(given, Mapping):
        return Dimension(name, validated(Range, dict(given), (*where.split("."), name)))
    if not isinstance(given, list):
        raise MtlError(
            f"{place} should be a list of choices, or a range like {{low: 1e-4, high: 1e-2, "
            f"log: true}}, found {shown(given)}"
        )
    texts = [json.dumps(choice) for choice in given]
    if len(given) < 2 or len(set(texts)) < len(texts):
        raise MtlError(f"{place} should have two choices or more, all different, found {given}")
    return Dimension(name, tuple(given))
