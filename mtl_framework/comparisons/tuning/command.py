"""``mtl tune`` is done here, from the config to the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from rich.console import Console, RenderableType

from ...plugins.manager import Plugins
from ...reports.search_page import write_search_page
from ...reports.trials import SearchRecord, TrialRecord, plain
from ...runs.settings import Setting
from ...support.alive import alive
from ...support.errors import MtlError
from ...support.files import make_folder
from ...support.terminal import Column, fitted_table
from ..config import ComparisonConfig, Variant
from ..resources import Resources, executor_for
from ..settings import Settings
from .config import Tuning, read_tuning
from .files import BEST, record_of, write_best, write_trials
from .search import Search
from .study import import_optuna, open_study, trial_count

if TYPE_CHECKING:
    from optuna import Study

_LOCK = ".lock"


@dataclass(frozen=True)
class TuneOutcome:
    """The outcome says how a search ended.

    Args:
        search: all trials.
        signal: the signal that stopped the search before its end; ``None`` if none did.
        page: path of the report; ``None`` where no trial has ended.
        best: path of the best trial's config; ``None`` where no trial has ended.
        fresh_seed: a seed that no trial has had.
    """

    search: SearchRecord
    signal: int | None
    page: Path | None
    best: Path | None
    fresh_seed: int


def tune(
    path: Path,
    directory: Path,
    plugins: Plugins,
    resources: Resources,
    err: Console,
    *,
    storage: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    settings: Sequence[Setting] = (),
) -> TuneOutcome:
    """Run the trials that are left of a search, and write what came out.

    Args:
        path: path of the tuning's YAML file.
        directory: folder for all files; the runs lie below its folder ``runs``.
        plugins: plugins in which names are looked up.
        resources: workers, GPUs or cluster that run the trials.
        err: console for progress.
        storage: URL of a data base for the study; ``None``: a SQLite file in ``directory``.
        overrides: keys of the section ``tune`` that win over the file's.
        settings: settings of the runs' config that win over the file's.

    Raises:
        MtlError: on a wrong config or wrong resources, before anything starts; if another search
            is at work in the folder; if no trial can succeed; if a file cannot be written.
    """
    with alive(err, f"reading {path}"):
        tuning = read_tuning(path, plugins, overrides, settings)
        trials = trial_count(tuning)
        variant = Variant("trial", tuning.base.suite.name, tuning.base.backbone.name, tuning.base)
        make_executor, workers = executor_for(
            ComparisonConfig(Settings(), (variant,)), resources, plugins
        )
        optuna = import_optuna()
    title = f"Search {path.stem}"
    try:
        make_folder(directory)
        with FileLock(directory / _LOCK, timeout=0):
            with alive(err, "opening the study"):
                study = open_study(directory, path.stem, storage, tuning)
            teller = _Teller(study, tuning, directory, title, plugins, err, trials)
            teller.write()
            search = Search(
                tuning, study, directory, plugins, make_executor(), workers, teller.ended
            )
            signal = search.work()
            record = teller.write()
    except Timeout as error:
        raise MtlError(f"another search is at work in {directory}") from error
    except OSError as error:
        raise MtlError(f"cannot write in {directory}: {error.strerror or error}") from error
    except optuna.exceptions.OptunaError as error:  # the data base is gone, or its disk is full
        reason = str(error).strip().split("\n")[0]
        raise MtlError(f"the study of {directory} cannot go on: {reason}") from error
    if record.best is None:
        return TuneOutcome(record, signal, None, None, tuning.seeds.stop)
    with alive(err, "drawing figures"):
        page = write_search_page(directory, record)
    return TuneOutcome(record, signal, page, directory / BEST, tuning.seeds.stop)


class _Teller:
    """It tells of every trial that has ended, and keeps the files up to date."""

    def __init__(
        self,
        study: "Study",
        tuning: Tuning,
        directory: Path,
        title: str,
        plugins: Plugins,
        err: Console,
        trials: int,
    ) -> None:
        self.study, self.tuning, self.directory, self.title = study, tuning, directory, title
        self.plugins, self.err, self.trials = plugins, err, trials

    def write(self) -> SearchRecord:
        """Write the table of trials and the best config; return all trials."""
        record = record_of(self.study, self.tuning, self.directory, self.title)
        write_trials(self.directory, record)
        write_best(self.directory, record, self.tuning, self.plugins)
        return record

    def ended(self, number: int) -> None:
        """Tell of a trial in a line."""
        record = self.write()
        (trial,) = (t for t in record.trials if t.number == number)
        ended = sum(t.state != "running" for t in record.trials)
        best = record.best
        behind = ""
        if best is not None and best.number != number:
            behind = f" (best {best.value:.4g}, trial {best.number})"
        text = f"[{ended}/{self.trials}] trial {number}: {_figure(trial, record)}{behind}; "
        options = ", ".join(f"{name} {plain(value)}" for name, value in trial.options.items())
        self.err.print(text + options, markup=False, soft_wrap=True)


def _figure(trial: TrialRecord, record: SearchRecord) -> str:
    if trial.state == "failed":
        return f"failed ({trial.why})"
    assert trial.value is not None
    reached = f" after {trial.curve[-1][0]:,} iterations" if trial.state == "pruned" else ""
    ended = "ended early, " if trial.state == "pruned" else ""
    return f"{record.unit}: {ended}validation {trial.value:.4g}{reached}"


def best_table(record: SearchRecord, width: int, most: int = 5) -> RenderableType:
    """Return a table of the best trials.

    Args:
        record: all trials.
        width: width of the terminal, in columns.
        most: number of rows.
    """
    names = list(record.scales)
    columns = [Column("trial", right=True), Column(f"validation {record.unit}", right=True)]
    columns += [Column(name) for name in names]
    rows = [
        [str(t.number), f"{t.value:.4g}", *(plain(t.options[name]) for name in names)]
        for t in record.done[:most]
    ]
    return fitted_table(columns, rows, width)
