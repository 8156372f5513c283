"""A run's folder knows its files, and whether a run may start or be resumed in it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..networks.result import Result
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes, write_text
from ..support.yamls import read_yaml
from .checkpoint import Checkpoints
from .config import RunConfig, dump
from .location import wherever
from .lock import LOCK, FolderLock

#: Options by which a suite says where its data lies and whether to fetch it, not what it is.
LOCATION = ("suite.data_root", "suite.download")
# What may differ when a run goes on: nothing that a single step depends on.
CHANGEABLE = (
    "iterations", "device", "log_every", "observers", "keep_on_device", "data_workers", "keep",
    *LOCATION
)  # fmt: skip


def details_file(kind: str) -> str:
    """Return the name of the file with what reports draw of the ``last`` or ``best`` networks."""
    return f"details-{kind}.json"


def maps_stem(kind: str) -> str:
    """Return the name, without suffix, of the files with maps of ``last`` or ``best`` networks."""
    return f"maps-{kind}"


class RunFolder:
    """A run's folder has the paths of its files.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.data = path / "data.json"
        self.lock = FolderLock(path)
        self.tasks = path / "tasks.json"
        self.earlier = path / "earlier.json"
        self.checkpoints = Checkpoints(path / "checkpoint")

    def finished(self, iterations: int, ended: bool) -> Result | None:
        """Return the result of a run that has nothing left to do; ``None`` if it has.

        Args:
            iterations: number of iterations that are asked for.
            ended: whether the run ended by itself before them.

        Raises:
            MtlError: if there is a result that cannot be read.
        """
        if kind_of(self.result) is None:
            return None
        result = Result.load(self.result)
        if ended:
            return result if result.ended is not None else None
        return result if result.iterations == iterations else None

    def check_free(self) -> None:
        """Raise an error on a folder that holds a run.

        Raises:
            MtlError: naming what was found and what to do, or the process that is at work there.
        """
        if kind_of(self.path) not in (None, "folder"):
            raise MtlError(f"output {self.path} is a file; give a folder")
        for file in (self.config, self.metrics, self.result, self.checkpoints.directory):
            if kind_of(file) is not None:
                if kind_of(self.path / LOCK) is not None:
                    self.lock.check_unused()
                raise MtlError(
                    f"output folder {self.path} already holds a run ({file.name}); give another "
                    "folder, or --resume to go on with that run"
                )

    def load(
        self, config: RunConfig, completed: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> dict[str, Any] | None:
        """Load the state from which a run is resumed; ``None``: it has no checkpoint yet.

        Args:
            config: configuration of the run; it must equal the folder's but for the keys in
                ``CHANGEABLE``, and may ask for more iterations.
            completed: adds to a saved config the options of later versions, at their defaults.

        Raises:
            MtlError: if there is no run, it has another config, or its checkpoint is damaged.
        """
        self.check_there()
        iteration = self.checkpoints.latest("last")
        has_result = kind_of(self.result) is not None
        if kind_of(self.config) is not None:
            check_same(completed(read_yaml(self.config)[0]), config, str(self.config))
        elif iteration is not None or kind_of(self.metrics) is not None or has_result:
            raise MtlError(f"cannot resume in {self.path}: its config.yaml is missing")
        if iteration is None and has_result:
            raise MtlError(
                f"cannot resume: the run in {self.path} has ended and kept no checkpoint of its "
                "last step (keep); run it again in another folder"
            )
        if iteration is None:
            return None
        state = self.checkpoints.load("last", iteration)
        where = str(self.checkpoints.stem("last", iteration))
        if not isinstance(state.get("config"), dict) or state.get("iteration") != iteration:
            raise MtlError(f"checkpoint {where} is not that of a run's iteration {iteration}")
        try:
            check_same(completed(state["config"]), config, where)
        except (RuntimeError, TypeError, ValueError) as error:  # tensors where a config has none
            raise MtlError(f"checkpoint {where} holds no config: {error}") from error
        return state

    def check_data(self, record: Mapping[str, Any]) -> None:
        """Raise an error if the data is not what the run began with.

        Args:
            record: the suite's present :attr:`Suite.record`.

        Raises:
            MtlError: naming the first difference.
        """
        if kind_of(self.data) is None:
            return
        try:
            saved = json.loads(read_bytes(self.data))
        except (ValueError, RecursionError) as error:
            raise MtlError(f"cannot read {self.data}: {error}") from error
        if not isinstance(saved, dict):
            raise MtlError(f"cannot read {self.data}: it is no record of a suite's data")
        difference = first_difference(saved, json.loads(json.dumps(record)))
        if difference is not None:
            key, old, new = (text if len(text) <= 80 else f"{text[:77]}..." for text in difference)
            raise MtlError(
                f"cannot resume: the data has changed since {self.data} was written: {key} was "
                f"{old}, and is {new} now"
            )

    def check_there(self) -> None:
        """Raise an error if the path is no folder.

        Raises:
            MtlError: naming the path.
        """
        if kind_of(self.path) != "folder":
            raise MtlError(f"there is no run to resume in {self.path}")

    def claim(
        self,
        config: RunConfig,
        record: Mapping[str, Any] | None = None,
        known: Mapping[str, Any] | None = None,
        new: bool = False,
    ) -> None:
        """Make the folder, lock it, and write the complete config into it.

        Args:
            config: the complete configuration of the run.
            record: the suite's :attr:`Suite.record`.
            known: description of tasks and examples, for ``tasks.json``.
            new: whether the run begins, so that the folder must not hold a run.

        Raises:
            MtlError: if another process has the lock, the folder holds a run, or a file cannot be
                written.
        """
        self.lock.take()
        if new:
            self.check_free()  # another process may have been faster
        if record:
            write_text(self.data, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        if known is not None:
            write_text(self.tasks, json.dumps(known, ensure_ascii=False) + "\n")
        write_text(self.config, dump(config))


def check_same(saved: Mapping[str, Any], config: RunConfig, where: str) -> None:
    """Raise an error if a config differs from the saved one in more than it may.

    Raises:
        MtlError: naming the first key that differs, and both values.
    """
    wanted = config.model_dump(mode="json")
    difference = unchangeable_difference(saved, wanted)
    if difference is not None:
        key, old, new = difference
        raise MtlError(
            f"cannot resume: {key} is {old} in {where}, but {new} now (only "
            f"{', '.join(CHANGEABLE)} may change)"
        )
    iterations = saved.get("iterations")
    if not isinstance(iterations, int) or iterations > config.iterations:
        raise MtlError(
            f"cannot resume: iterations is {iterations} in {where}, but {config.iterations} now; "
            "it may only grow"
        )


def unchangeable_difference(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """Return the :func:`first_difference` of two configs in what may not change, if there is one.

    Data may lie elsewhere: of an absolute ``suite.path`` the last part counts.
    """
    before, after = (wherever(without(each, CHANGEABLE)) for each in (old, new))
    return first_difference(before, after)


def without(config: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return a config without some keys; ``section.key`` names one within a section."""
    rest = {key: value for key, value in config.items() if key not in keys}
    for key in keys:
        section, dot, inner = key.partition(".")
        if dot and isinstance(rest.get(section), Mapping):
            rest[section] = {k: v for k, v in rest[section].items() if k != inner}
    return rest


def first_difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> tuple[str, str, str] | None:
    """Return dotted key and both values, as text, where two configs first differ."""
    for key in [*new, *(key for key in old if key not in new)]:
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            difference = first_difference(a, b, f"{prefix}{key}.")
            if difference is not None:
                return difference
        elif a != b or (key in old) != (key in new):
            texts = (repr(x[key]) if key in x else "not set" for x in (old, new))
            return (f"{prefix}{key}", *texts)  # type: ignore[return-value]
    return None
