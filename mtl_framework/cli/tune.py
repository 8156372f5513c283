"""``mtl tune`` searches for the options that validation prefers."""

from pathlib import Path
from typing import Any

from ..runs.settings import Setting
from ..support.interrupts import Interrupted
from . import options
from .console import load_plugins, stderr, stdout

SEARCHES = Path("searches")


def tune(
    config: options.SearchFile,
    output: options.SearchOutput = None,
    trials: options.Trials = None,
    storage: options.Storage = None,
    workers: options.Workers = None,
    gpus_per_run: options.GpusPerRun = None,
    ray: options.Ray = None,
    iterations: options.RunIterations = None,
    data_root: options.DataRoot = None,
    device: options.Device = None,
    settings: options.Settings = None,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> int:
    """Try options of a run's config, chosen by validation and never by test.

    A search that was interrupted or killed goes on when the same command is given again; with more
    trials it is extended.
    """
    out, err = stdout(quiet), stderr(quiet, log_file)
    err.print(f"reading {config}", soft_wrap=True)  # before what takes seconds to import
    from ..comparisons.resources import Resources
    from ..comparisons.tuning.command import best_table
    from ..comparisons.tuning.command import tune as search

    given = options.settings_of(settings)
    flags: dict[str, Any] = {"iterations": iterations, "device": device}
    flags["suite.data_root"] = data_root
    given += [Setting(tuple(key.split(".")), v) for key, v in flags.items() if v is not None]
    directory = output or SEARCHES / config.stem
    outcome = search(
        config,
        directory,
        load_plugins(quiet),
        Resources(workers, gpus_per_run, ray),
        err,
        storage=storage,
        overrides={"trials": trials},
        settings=given,
    )
    if outcome.signal is not None:
        text = f"all saved in {directory}; go on with the same command"
        raise Interrupted(outcome.signal, text)
    if outcome.best is None:
        err.print("no trial was run to its end", soft_wrap=True)
        return 1
    out.print(best_table(outcome.search, out.width))
    out.print(f"report: {outcome.page}", markup=False, soft_wrap=True)
    out.print(
        f"next: mtl run --config {outcome.best} --seed {outcome.fresh_seed}   (validation chose "
        "the options, so report runs with other seeds)",
        markup=False,
        soft_wrap=True,
    )
    return 0
