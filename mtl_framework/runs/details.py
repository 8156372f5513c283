"""A run writes files for reports: confusion matrices, reliability, and predicted maps."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..networks.map_samples import MapSamples
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes
from .checkpoint import files_of, load_state


class Reliability(BaseModel):
    """This class says how often predictions of each confidence are right, in bins from 0 to 1."""

    model_config = ConfigDict(extra="ignore")

    rows: list[int]
    confidence: list[float | None]
    right: list[float | None]


class TaskDetails(BaseModel):
    """This class holds what a report draws of one task; each field may be empty."""

    model_config = ConfigDict(extra="ignore")

    classes: list[str] = []
    accuracy: list[float | None] = []
    confusion: list[list[int]] | None = None
    reliability: Reliability | None = None


class _Details(BaseModel):
    model_config = ConfigDict(extra="ignore")

    tasks: dict[str, TaskDetails]


def read_details(file: Path) -> Mapping[str, TaskDetails]:
    """Read what a report draws of a run's tasks; empty where there is no file.

    Raises:
        MtlError: if the file is damaged.
    """
    if kind_of(file) is None:
        return {}
    try:
        return _Details.model_validate_json(read_bytes(file)).tasks
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise MtlError(f"{file} is damaged: {key}: {first['msg']}") from error


def read_maps(stem: Path) -> Mapping[str, MapSamples]:
    """Read test images with maps, by task; empty where the two files do not exist.

    Raises:
        MtlError: if a file is damaged.
    """
    file = files_of(stem)[1]
    if kind_of(file) is None:
        return {}
    tasks = load_state(stem).get("tasks")
    if not isinstance(tasks, Mapping):
        raise MtlError(f"{file} is damaged: it names no tasks")
    try:
        return {str(name): MapSamples.from_plain(plain) for name, plain in tasks.items()}
    except MtlError as error:
        raise MtlError(f"{file} is damaged: {error}") from error
