"""The suite ``muir_synthetic`` has thirty linear regressions in three groups."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Examples, Regression, Suite, Task

TASKS, INPUTS, VALIDATION = 30, 20, 5
SEED = 301  # seed by which the published code chooses the validation examples


def muir_synthetic(
    *, data_root: str = ".", path: str = "muir_synthetic.npz", noisy: bool = False
) -> Suite:
    """Solve thirty linear regressions of 20 inputs, in three groups whose weights are collinear.

    Tasks 0 to 9, 10 to 19 and 20 to 29 are three groups: the true weights of all tasks of a group
    are multiples of one vector. Of 15 training examples of a task five are for validation, the same
    ones in all tasks, and the other ten are one batch; there are 50 test examples. Every task has a
    linear model without bias. Papers report the root of the mean squared error over all tasks,
    which reports here call pooled.

    Source: Kang, Grauman and Sha, ICML 2011; set-up of Meyerson and Miikkulainen, NeurIPS 2019,
    whose figures for single tasks the choice of the validation examples reproduces.

    Args:
        data_root: folder that ``path`` starts from.
        path: path of the .npz file with ``train_X`` (30, 15, 20), ``train_Y`` (30, 15), ``test_X``,
            ``test_Y``, ``noisy_train_Y`` and ``noisy_test_Y``, within ``data_root``.
        noisy: whether targets are those with noise, ``noisy_train_Y`` and ``noisy_test_Y``.

    Raises:
        MtlError: if an array is missing or has another shape; the message names it and the file.
    """
    file = Path(data_root) / path
    prefix = "noisy_" if noisy else ""
    names = ("train_X", f"{prefix}train_Y", "test_X", f"{prefix}test_Y")
    train_x, train_y, test_x, test_y = _read(file, names)
    chosen = torch.from_numpy(np.random.RandomState(SEED).permutation(train_x.shape[1]))
    validation, train = chosen[:VALIDATION], chosen[VALIDATION:]
    tasks = [
        Task(
            f"task_{number:02d}",
            Regression(),
            Examples(train_x[number, train], train_y[number, train]),
            Examples(test_x[number], test_y[number]),
            Examples(train_x[number, validation], train_y[number, validation]),
            batch_size=len(train),
            backbone={"name": "linear", "args": {"bias": False}},
        )
        for number in range(TASKS)
    ]
    return Suite("muir_synthetic", tasks)


def _read(file: Path, names: tuple[str, ...]) -> list[Tensor]:
    """Read arrays as floats: inputs (tasks, examples, 20) and targets (tasks, examples)."""
    try:
        with np.load(file, allow_pickle=False) as found:
            missing = [name for name in names if name not in found]
            if missing:
                raise MtlError(f"{file} has no array {missing[0]!r}, found {', '.join(found)}")
            arrays = [found[name] for name in names]
    except FileNotFoundError:
        raise MtlError(
            f"there is no file {file}; say where the data lies with --data-root and suite.path"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise MtlError(f"{file} is no .npz file: {' '.join(str(error).split())}") from error
    for name, array in zip(names, arrays, strict=True):
        examples = array.shape[1] if array.ndim > 1 else 0
        wanted = (TASKS, examples, INPUTS) if name.endswith("X") else (TASKS, examples)
        if array.shape != wanted or wanted[1] <= VALIDATION:
            raise MtlError(f"{file}: {name} should have shape {wanted}, found {array.shape}")
    return [torch.from_numpy(array).float() for array in arrays]
