"""Networks of a loaded run predict for image files, a chunk of files at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..data.objectives import MapObjective
from ..data.preprocessing import Preprocessing
from ..support.errors import MtlError
from .load import LoadedRun
from .map_files import all_or_none, write_maps

CHUNK = 64  # images read and run at a time


@dataclass
class ImagePredictions:
    """Image predictions are what networks of a run say of image files.

    Args:
        loaded: the run.
        tasks: names of the tasks that predict.
        skip_bad: whether files that cannot be read are left out; ``left_out`` has them, with the
            reasons.
    """

    loaded: LoadedRun
    tasks: Sequence[str]
    skip_bad: bool = False
    left_out: dict[Path, str] = field(default_factory=dict, init=False)

    def has_maps(self, task: str) -> bool:
        """Say whether a task's predictions are maps."""
        return self.loaded.suite.tasks[self.loaded.suite.index(task)].objective.is_map

    def of(
        self, files: Sequence[Path], folders: Mapping[str, Path] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """Predict for image files; return a row of plain values for each task and file.

        A file that cannot be read for one of the tasks is left out for all of them.

        Args:
            files: paths of the images.
            folders: folders into which maps are written, by task; all of them or none.

        Raises:
            MtlError: naming a file that cannot be read, unless ``skip_bad`` is set and others can
                be; if a map cannot be written, or the run does not read images.
        """
        for number in map(self.loaded.suite.index, self.tasks):
            self.loaded.preprocessings[number].check_files()
        folders = folders or {}
        rows: dict[str, list[dict[str, Any]]] = {task: [] for task in self.tasks}
        with ExitStack() as stack:
            unfinished = {
                task: stack.enter_context(all_or_none(folder)) for task, folder in folders.items()
            }
            for some, inputs in self._chunks(files):
                for task, images in inputs.items():
                    rows[task] += self._rows(task, some, images, unfinished.get(task))
            if not any(rows.values()):
                raise MtlError(
                    f"none of {len(files)} files can be read; {next(iter(self.left_out.values()))}"
                )
        for task, folder in folders.items():
            for row in rows[task]:
                row["map"] = str(folder / row["map"])
        return rows

    def _chunks(self, files: Sequence[Path]) -> Iterator[tuple[list[Path], dict[str, Tensor]]]:
        """Yield files that could be read, and by task what its network reads of them."""
        for start in range(0, len(files), CHUNK):
            some = list(files[start : start + CHUNK])
            try:
                yield some, self._read(some)
                continue
            except MtlError:
                if not self.skip_bad:
                    raise
            good = [file for file in some if self._is_good(file)]
            if good:
                yield good, self._read(good)

    def _is_good(self, file: Path) -> bool:
        try:
            self._read([file])
        except MtlError as error:
            self.left_out[file] = str(error)
            return False
        return True

    def _read(self, files: Sequence[Path]) -> dict[str, Float[Tensor, "rows C H W"]]:
        """Read files for every task, once for tasks that preprocess them alike."""
        done: list[tuple[Preprocessing, Tensor]] = []
        inputs = {}
        for task in self.tasks:
            wanted = self.loaded.preprocessings[self.loaded.suite.index(task)]
            images = next((images for other, images in done if other == wanted), None)
            if images is None:
                images = wanted.read(files)
                done.append((wanted, images))
            inputs[task] = images
        return inputs

    def _rows(
        self,
        task: str,
        files: Sequence[Path],
        images: Float[Tensor, "rows C H W"],
        folder: Path | None,
    ) -> list[dict[str, Any]]:
        outputs = self.loaded.outputs(task, images)
        objective = self.loaded.suite.tasks[self.loaded.suite.index(task)].objective
        described = objective.describe(outputs)
        if list(described[0]) == ["output 0"] and task not in ("image", "map"):
            described = [{task: row["output 0"]} for row in described]
        rows = [{"image": str(file), **row} for file, row in zip(files, described, strict=True)]
        if folder is not None and isinstance(objective, MapObjective):
            written = write_maps(objective, objective.decode(outputs), files, folder)
            rows = [{**row, "map": paths[0].name} for row, paths in zip(rows, written, strict=True)]
        return rows
