"""Runs of a comparison may be from before some of today's options existed."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs.config import RunConfig
from ..runs.resolve import completed, read_file
from ..support.errors import MtlError
from ..support.files import kind_of, names_in
from ..support.validation import validated
from .grid import identity

if TYPE_CHECKING:
    from ..plugins.manager import Plugins


def saved_config(folder: Path, plugins: "Plugins | None" = None) -> RunConfig:
    """Read the config in a run's folder, with options that came later at their defaults.

    Args:
        folder: the folder of the run.
        plugins: plugins that know the options; ``None``: nothing is added to the config.

    Raises:
        MtlError: if the file cannot be read, or is no config of a run.
    """
    values = read_file(folder / "config.yaml").values
    return validated(RunConfig, values if plugins is None else completed(values, plugins))


def earlier_folders(runs: Path, known: Collection[str], plugins: "Plugins") -> dict[str, Path]:
    """Find folders whose names stand for configs with fewer options, by today's identity.

    A cell's folder is named after all options of its config, so that a new option changes the
    name: the run of ``lws-...-f7b8089cfd`` is that of a cell which is ``lws-...-95ec54f8a2`` today.

    Args:
        runs: the folder that holds the runs' folders.
        known: names of folders that are skipped.
        plugins: plugins that know today's options.
    """
    folders: dict[str, Path] = {}
    for folder in (runs / name for name in names_in(runs) if name not in known):
        if kind_of(folder / "config.yaml") == "file":
            try:
                folders.setdefault(identity(saved_config(folder, plugins)), folder)
            except MtlError:
                continue  # not a run of the plugins that are installed: no cell of this comparison
    return folders
