"""A comparison's file has further keys, which say how to compare."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..runs.records import ControlKind

MOST_SEEDS = 10_000


def _seed_list(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not isinstance(value, int) or not 1 <= value <= MOST_SEEDS:
            raise ValueError(f"should be from 1 to {MOST_SEEDS}, or a list of seeds")
        return tuple(range(value))
    return value


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
    if twice:
        raise ValueError(f"should name every seed once ({twice[0]} occurs twice)")
    return seeds


Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Settings(BaseModel):
    """The settings say with which seeds runs are done and how their figures are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, max_length=MOST_SEEDS),
        AfterValidator(_distinct),
        BeforeValidator(_seed_list),
    ] = Field(
        default=(0, 1, 2), description="seeds of the runs: a number n for 0 to n - 1, or a list"
    )
    baseline: str | None = Field(
        default=None,
        description="strategy that Delta m is measured against; default: the one whose tasks turn "
        "out to share nothing",
    )
    significance: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="significance level of the tests, after Holm's correction",
    )
    select: Literal["last", "best"] = Field(
        default="last",
        description="networks of a run that count: those after the last step, or the best: "
        "those that validation prefers",
    )
    controls: tuple[ControlKind, ...] = Field(
        default=(),
        description="further runs for each run that learned an assignment: retrained (its "
        "assignment, from the beginning), permuted (with the tasks' columns permuted), roaming (no "
        "search)",
    )
    permutations: int = Field(
        default=2,
        ge=1,
        description="number of permuted assignments for each learned run, where controls names "
        "permuted",
    )
    seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="training time of every run in seconds, evaluations aside, in place of "
        "iterations: a pilot run of each strategy, with the file's iterations and the first seed, "
        "says how many iterations that is; runs of controls have those of the run that they "
        "control; default: the file's iterations",
    )
    retrain_with: str = Field(
        default="fixed_sharing",
        description="strategy that trains the given assignments of controls, but for those that a "
        "strategy trains itself; it must have an option matrix",
    )
    roam_with: str = Field(
        default="roaming",
        description="strategy that roams without a search, for the control roaming",
    )
