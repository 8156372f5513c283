"""Control runs tell whether the assignment helps, or the search, or only the wandering.

Every run that learned an assignment has these controls: the assignment trained from the beginning
(``retrained``), the same with the tasks' columns permuted (``permuted``), and tasks that roam over
the weights without a search (``roaming``). Each has the learned run's seed, data, backbone, budget
and recipe, its optimiser included, those of its options that the control's strategy has, too, and
what its strategy says besides (:meth:`Strategy.control_options`). What assigns other weights than
whole units trains assignments itself (:meth:`Strategy.given_options`), and has no roaming.
Strategies are known by the names that the comparison's config gives, and runs by their
results alone.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..networks.result import Assignment, Result, UsedOptimizer
from ..plugins.manager import Plugins
from ..runs.config import RunConfig
from ..runs.records import Control, Select
from ..runs.resolve import Layer, resolve
from ..strategies.assignments import GivenAssignment, holds_given
from ..strategies.strategy import StrategyConfig
from ..strategies.training import OptimizerConfig
from ..support.errors import MtlError
from .grid import Cell
from .settings import Settings

_TRIES = 200  # draws of a permutation that shares otherwise

Matrix = tuple[tuple[int, ...], ...]


def control_cells(
    settings: Settings, finished: Iterable[tuple[Cell, Result]], plugins: Plugins
) -> list[Cell]:
    """Make the cells of all controls that the settings ask for.

    The same finished runs give the same cells. A strategy counts as one that learns assignments if
    its options do not give them and in at least one of its runs tasks share some units, but not
    all, at the end, or where validation prefers it if ``select`` is best.

    Args:
        settings: the settings of the comparison.
        finished: cells of the comparison with their results, without controls.
        plugins: plugins in which strategies are looked up.

    Raises:
        MtlError: if a strategy that trains controls is unknown or does not accept the options, or
            if a strategy says something else of its controls than options.
    """
    if not settings.controls:
        return []
    cells: list[Cell] = []
    for cell, assignment, optimizer in _learned(settings, finished, plugins):
        alike = _with_optimizer(cell, optimizer)
        cells += _controls_of(alike, assignment, settings, plugins)
    return cells


def without_controls(
    settings: Settings, finished: Iterable[tuple[Cell, Result]], plugins: Plugins
) -> dict[str, list[str]]:
    """Name the strategies that learn assignments, with the wanted controls that none of them has.

    The arguments are those of :func:`control_cells`.
    """
    lacking: dict[str, list[str]] = {}
    for cell, found, _ in _learned(settings, finished, plugins) if settings.controls else []:
        itself = _own(cell.config, found.weights, plugins) is not None
        if itself or _further(cell.config, plugins) is None:
            missing: list[str] = [k for k in settings.controls if k == "roaming" or not itself]
            if missing:
                lacking[cell.strategy] = missing
    return lacking


def _learned(
    settings: Settings, finished: Iterable[tuple[Cell, Result]], plugins: Plugins
) -> list[tuple[Cell, Assignment, UsedOptimizer | None]]:
    """Return the runs of strategies that learn assignments, with what they found."""
    runs = [
        (cell, found, result.optimizer)
        for cell, result in finished
        if not holds_given(_options(cell.config, plugins))
        and (found := _found(result, settings.select)) is not None
    ]
    learned = {
        (cell.strategy, cell.suite, cell.backbone)
        for cell, assignment, _ in runs
        if not is_trivial(assignment.weights)
    }
    return [run for run in runs if (run[0].strategy, run[0].suite, run[0].backbone) in learned]


def _found(result: Result, select: Select) -> Assignment | None:
    """Return the assignment of the networks that count, as far as the run has kept it."""
    best = result.best if select == "best" else None
    return best.assignment if best is not None and best.assignment else result.assignment


def is_trivial(weights: Matrix) -> bool:
    """Return whether all tasks share all units, or no two tasks share any."""
    distinct = [len(set(row)) for row in weights]
    return all(n == 1 for n in distinct) or all(
        n == len(row) for n, row in zip(distinct, weights, strict=True)
    )


def permutations_of(weights: Matrix, count: int, seed: int) -> list[Matrix]:
    """Draw up to ``count`` assignments with permuted columns, no two of which share alike.

    Column t of a result is the column of another task: the networks have the same shape, but other
    tasks are together. The permutation ``[2, 0, 1]`` makes ``(1, 0, 0)`` of the unit ``(0, 0, 1)``:
    the first two tasks shared a weight, now the last two do. Permutations that only rename tasks
    that share everything do not count, so that there may be fewer than ``count``; of two tasks
    there is none.

    Args:
        weights: number of the weight that each unit (rows) has for each task (columns).
        count: number of permuted assignments that are wanted.
        seed: seed of the draws.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    given, seen = np.array(weights), {_groups(weights)}
    found: list[Matrix] = []
    for _ in range(_TRIES):
        if len(found) == count:
            break
        columns = given[:, generator.permutation(given.shape[1])].tolist()
        permuted = tuple(tuple(row) for row in columns)
        if _groups(permuted) not in seen:
            seen.add(_groups(permuted))
            found.append(permuted)
    return found


def _groups(weights: Matrix) -> Matrix:
    """Renumber each unit's weights by first use: ``(2, 0, 2)`` becomes ``(0, 1, 0)``."""
    rows = []
    for row in weights:
        names = {weight: number for number, weight in enumerate(dict.fromkeys(row))}
        rows.append(tuple(names[weight] for weight in row))
    return tuple(rows)


def _options(config: RunConfig, plugins: Plugins) -> StrategyConfig:
    """Return the strategy's options, as its own class checks them."""
    strategy = plugins.strategy(config.strategy.name)
    return strategy.Config.model_validate(config.strategy.options)


def _further(config: RunConfig, plugins: Plugins) -> Mapping[str, Any] | None:
    """Return what others' controls have beside options of the same names; ``None``: no others."""
    strategy = plugins.strategy(config.strategy.name)
    with plugins.guard("strategy", config.strategy.name)("control_options"):
        further = strategy.control_options(_options(config, plugins))
    return _by_name(further, config, "control_options")


def _own(config: RunConfig, matrix: Matrix, plugins: Plugins) -> Mapping[str, Any] | None:
    """Return options for the run's strategy to train an assignment; ``None``: another does."""
    strategy = plugins.strategy(config.strategy.name)
    rows = [list(row) for row in matrix]
    with plugins.guard("strategy", config.strategy.name)("given_options"):
        own = strategy.given_options(_options(config, plugins), rows)
    return _by_name(own, config, "given_options")


def _by_name(options: object, config: RunConfig, hook: str) -> Mapping[str, Any] | None:
    if options is not None and not isinstance(options, Mapping):
        raise MtlError(
            f"strategy {config.strategy.name!r}: {hook} should return options by name, or None, "
            f"found {type(options).__name__}"
        )
    return options


def _with_optimizer(cell: Cell, used: UsedOptimizer | None) -> Cell:
    """Let the config say which optimiser the strategy has chosen, so that others use it, too."""
    training = cell.config.training
    if used is None:
        return cell
    values: dict[str, Any] = {}
    if training.optimizer is None:
        values["optimizer"] = OptimizerConfig.model_validate({"name": used.name, **used.options})
    if training.learning_rate is None:
        values["learning_rate"] = used.learning_rate
    if training.weight_decay is None and used.weight_decay:
        values["weight_decay"] = used.weight_decay
    config = cell.config.model_copy(update={"training": training.model_copy(update=values)})
    return dataclasses.replace(cell, config=config)


def _controls_of(
    cell: Cell, assignment: Assignment, settings: Settings, plugins: Plugins
) -> Iterator[Cell]:
    itself = _own(cell.config, assignment.weights, plugins) is not None
    further = None if itself else _further(cell.config, plugins)
    if not itself and further is None:
        return

    def trained(control: Control, weights: Matrix) -> Cell:
        if further is None:
            return _own_cell(cell, control, weights, plugins)
        common = _common(cell.config, further, settings.retrain_with, plugins)
        return _cell(cell, control, {**common, "matrix": [list(row) for row in weights]}, plugins)

    if "retrained" in settings.controls:
        yield trained(Control("retrained", cell.strategy), assignment.weights)
    if "permuted" in settings.controls:
        permuted = permutations_of(assignment.weights, settings.permutations, cell.seed)
        for number, weights in enumerate(permuted, 1):
            yield trained(Control("permuted", cell.strategy, number), weights)
    if further is not None and "roaming" in settings.controls:
        common = _common(cell.config, further, settings.roam_with, plugins)
        yield _cell(cell, Control("roaming", cell.strategy), common, plugins)


def _own_cell(of: Cell, control: Control, weights: Matrix, plugins: Plugins) -> Cell:
    """Make the cell of a control that the run's own strategy trains.

    Raises:
        MtlError: if the options that the strategy names give no assignment: it would search again.
    """
    name = of.config.strategy.name
    own = _own(of.config, weights, plugins)
    cell = _cell(of, control, {**(own or {}), "name": name}, plugins)
    if not holds_given(_options(cell.config, plugins)):
        raise MtlError(
            f"strategy {name!r}: given_options should return options that give the assignment "
            f"(a GivenAssignment), found none among {', '.join(own or ()) or 'no options'}"
        )
    return cell


def _cell(of: Cell, control: Control, strategy: Mapping[str, Any], plugins: Plugins) -> Cell:
    values = of.config.model_dump(mode="json")
    values["strategy"] = dict(strategy)
    config = resolve(plugins, [Layer(values)]).config
    return Cell(control.label, of.suite, of.backbone, config, control)


def _common(
    config: RunConfig, further: Mapping[str, Any], name: str, plugins: Plugins
) -> dict[str, Any]:
    """Return a strategy with the options that it has, too, e.g. the learning rate."""
    fields = set(plugins.strategy(name).Config.model_fields) - set(GivenAssignment.model_fields)
    options = {**config.strategy.options, **further}
    return {"name": name} | {key: value for key, value in options.items() if key in fields}
