"""A run is checked and built before anything is written."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..data.overview import in_short
from ..data.tasks import Suite
from ..networks.batch_sizes import check_batch_sizes
from ..plugins.manager import Plugins
from ..strategies.assignments import Earlier
from ..support.distributed import first_goes_ahead, is_first, process_count
from ..support.seeding import derive_seed, seed_everything
from .assembly import Assembly, announcement, assemble, check_memory, find_suite
from .choices import check_validation
from .earlier_runs import remember
from .folder import RunFolder
from .known_data import check_known, describe, read_known
from .load import load_run
from .observers import Observers
from .reach import batching_notes, graph_notes, prepare_strategy, weighting_notes
from .resolve import ResolvedConfig, completed

_DATA_STAY = "; a run goes on with the data that it began with"


@dataclass(frozen=True)
class Start:
    """A start has the parts of a run that is about to begin or to go on.

    Args:
        parts: suite, backbones, strategy and networks.
        state: the checkpoint from which the run is resumed; ``None``: it begins.
        known: description of tasks and examples to write into the folder; ``None``: it is there
            already, or the tasks cannot be described.
        earlier: assignments of earlier runs that the networks were built with.
        recipe_notes: hints where the section ``training`` does other than one might expect.
    """

    parts: Assembly
    state: Mapping[str, Any] | None
    known: Mapping[str, Any] | None
    earlier: Earlier
    recipe_notes: Sequence[str] = ()

    def hints(self) -> list[str]:
        """Return hints for the user on data and recipe, to be read before the run."""
        return list(dict.fromkeys([*self.parts.suite.notes, *self.recipe_notes]))


def read_state(
    folder: RunFolder, complete: ResolvedConfig, plugins: Plugins, resume: bool
) -> Mapping[str, Any] | None:
    """Lock the folder and read the state to resume from; ``None``: there is no checkpoint yet.

    Of several processes the first one locks it for all.

    Raises:
        MtlError: if the folder holds a run and ``resume`` is not asked for, or the other way round;
            if another process is at work there; if the checkpoint is not that of this config.
    """
    if not resume:
        if is_first():  # which may have begun to write when another one gets here
            folder.check_free()
        return None
    folder.check_there()
    if is_first():
        folder.lock.take()
    return folder.load(complete.config, lambda saved: completed(saved, plugins))


def build(
    complete: ResolvedConfig,
    plugins: Plugins,
    folder: RunFolder,
    state: Mapping[str, Any] | None,
    device: torch.device,
    observers: Observers,
) -> Start:
    """Read the data, build backbones and networks, and check that they suit each other.

    Raises:
        MtlError: on anything wrong with names, options, data or device.
    """
    config = complete.config
    with first_goes_ahead():  # it may have to download files
        suite = find_suite(config, plugins)
    check_validation(config.training, suite)
    check_memory(config, suite)
    known = _known(suite, folder, state)
    observers.say(announcement(config, suite))
    observers.say(in_short(suite))
    seed_everything(derive_seed(config.seed, "weights"))
    earlier = remember(complete.options, None if state is None else folder.earlier)
    strategy = complete.strategy(complete.options, seed=derive_seed(config.seed, "strategy"))
    parts = assemble(config, plugins, suite, strategy, trained=state is not None)
    check_batch_sizes(suite, parts.backbones, config.batch_size, process_count())
    strategy.network = parts.network
    prepare_strategy(strategy, config, device)
    if state is None:
        strategy.warm_start(functools.partial(load_run, plugins=plugins))
    notes = [
        *weighting_notes(strategy, config),
        *batching_notes(strategy, config),
        *graph_notes(strategy, config, device),
    ]
    return Start(parts, state, known, earlier, notes)


def _known(
    suite: Suite, folder: RunFolder, state: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """What a new run's folder is to say of its tasks; one that goes on has data of its own."""
    if state is None:
        return describe(suite)
    known = read_known(folder.tasks)
    if known is not None:
        check_known(known, suite, todo=_DATA_STAY, in_order=True)  # first: it names what differs
    folder.check_data(suite.record)
    return None  # what was saved then is not written again
