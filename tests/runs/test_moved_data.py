"""Data that lies elsewhere than when a run began: said with data_root, also of an absolute path."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_framework import MtlError, load_run, run
from mtl_framework.runs.location import relocated, wherever


def write(folder: Path, shift: int = 0) -> None:
    folder.mkdir()
    lines = ["image,kind"]
    for n in range(24):
        pixels = np.full((12, 12), 10 * n + shift, np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
        lines.append(f"{n}.png,{'ab'[n % 2]}")
    (folder / "pets.csv").write_text("\n".join(lines) + "\n")


def test_a_run_whose_data_has_moved_is_evaluated_and_goes_on(tmp_path: Path) -> None:
    old, new, output = tmp_path / "old", tmp_path / "new", tmp_path / "run"
    write(old)
    given = {"name": "table", "path": str(old / "pets.csv")}
    options: dict[str, Any] = {"device": "cpu", "batch_size": 4, "progress": False, "eval_every": 2}
    run("full_sharing", "dkl_convnet", given, output=output, iterations=2, **options)
    wanted = load_run(output).evaluate().splits["test"].error_mean
    shutil.move(old, new)
    with pytest.raises(MtlError, match=r"say where the data lies with --data-root"):
        load_run(output).evaluate()
    moved = load_run(output, data_root=str(new))
    assert moved.evaluate().splits["test"].error_mean == wanted
    result = run(output=output, resume=True, iterations=4, data_root=str(new), progress=False)
    assert result.iterations == 4
    assert load_run(output).evaluate().splits["test"].error_mean == result.test.error_mean
    shutil.rmtree(new)
    write(new, shift=3)  # of the same names, and others
    with pytest.raises(MtlError):
        run(output=output, resume=True, iterations=6, data_root=str(new), progress=False)


def test_an_absolute_path_is_looked_for_by_its_last_part() -> None:
    assert relocated({"path": "/old/pets.csv"}, "new") == {"data_root": "new", "path": "pets.csv"}
    assert relocated({"path": "sub/pets.csv"}, "new") == {"data_root": "new"}
    assert relocated({"name": "digits"}, "new") == {"data_root": "new"}
    config = {"suite": {"name": "table", "path": "/old/pets.csv"}, "seed": 1}
    assert wherever(config) == {"suite": {"name": "table", "path": "pets.csv"}, "seed": 1}
    for same in ({"suite": {"path": "sub/pets.csv"}}, {"suite": {"path": 3}}, {"seed": 1}):
        assert wherever(same) is same
