"""Files of arrays: damaged, foreign, real and moved ones."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.arrays import arrays
from support.arrays import chosen, numbered, save
from support.real_data import FOLDER as REAL

from mtl_framework.cli import main
from mtl_framework.support.errors import MtlError


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_damaged_and_foreign_files_are_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pickled.npz").write_bytes(pickle.dumps(Bomb()))
    np.save("single.npy", numbered(3))
    where = save(
        tmp_path, a_images=np.arange(64, dtype=np.uint8).reshape(4, 4, 4), a_labels=[0] * 4
    )
    whole = bytearray(Path("file.npz").read_bytes())
    Path("cut.npz").write_bytes(whole[: len(whole) // 2])
    whole[whole.index(bytes(range(64)))] ^= 0xFF
    Path("flipped.npz").write_bytes(whole)
    for name in ("pickled.npz", "single.npy", "cut.npz", "flipped.npz", "absent.npz", "."):
        with pytest.raises(MtlError, match=name.replace(".", r"\.")) as caught:
            arrays(path=name, data_root=where["data_root"])
        assert "\n" not in str(caught.value)
    assert not Path("exploded").exists()


# -- real files beside the checkout ----------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no data in {REAL}")
@pytest.mark.parametrize(
    ("options", "tasks", "shape", "examples"),
    [
        (
            {"path": "dkl_mnist_variant.npz", "tasks": "digits,letters,kuzushiji",
             "train_per_task": 500, "test_per_task": 9500},
            3, (1, 28, 28), {"train": 500, "test": 9500},
        ),
        (
            {"path": "omniglot_small.npz", "group_by": "alphabet", "labels": "character",
             "size": 28, "train_per_task": 0.8, "test_per_task": 0.2},
            8, (1, 28, 28), {"train": 16 * 24, "test": 4 * 24},
        ),
        (
            {"path": "tiny_imagenet32_coarse20.npz", "group_by": "coarse", "labels": "fine"},
            20, (3, 32, 32), {"train": 400, "test": 125},
        ),
        ({"path": "cifar10_jpeg_subset.npz"}, 1, (3, 32, 32), {"train": 2500, "test": 1000}),
        (
            {"path": "muir_synthetic.npz", "inputs": "{split}_X", "labels": "{split}_Y",
             "task_axis": True},
            30, (20,), {"train": 15, "test": 50},
        ),
    ],
)  # fmt: skip
def test_real_files(
    options: dict[str, Any], tasks: int, shape: tuple[int, ...], examples: dict[str, int]
) -> None:
    suite = chosen(data_root=str(REAL), **options)
    assert len(suite) == tasks
    assert suite.input_shape == shape
    assert {name: len(e) for name, e in suite.tasks[0].splits().items()} == examples


# -- where the data lies ---------------------------------------------------------------------------


def test_data_may_have_moved_when_a_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder, a_images=numbered(8, 28, 28), a_labels=[0, 1] * 4)
    command = ["run", "--strategy", "full_sharing", "--backbone", "test_resnet", "--output"]
    command += [str(tmp_path / "run"), "--set", "device=cpu", "--data-root"]
    suite = ["--suite", "arrays", "--set", "suite.path=file.npz"]
    assert cli([*command, str(tmp_path / "here"), *suite, "--iterations", "2"]) == 0
    (tmp_path / "here" / "file.npz").unlink()
    resume = ["run", "--resume", "--output", str(tmp_path / "run"), "--iterations", "4"]
    assert cli(resume) == 2
    assert "there is no file" in capsys.readouterr().err
    assert cli([*resume, "--data-root", str(tmp_path / "there")]) == 0
    assert (
        cli([*resume, "--data-root", str(tmp_path / "there"), "--set", "suite.split_seed=3"]) == 2
    )
    assert "suite.split_seed is 0" in capsys.readouterr().err
    (tmp_path / "there").rename(tmp_path / "elsewhere")
    evaluate = ["evaluate", str(tmp_path / "run")]
    assert cli(evaluate) == 2
    assert "there is no file" in capsys.readouterr().err
    assert cli([*evaluate, "--data-root", str(tmp_path / "elsewhere")]) == 0
    assert "mean" in capsys.readouterr().out


def test_a_suite_without_files_refuses_data_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["run", "--suite", "digits", "--data-root", "x"]) == 2
    assert "unknown key 'suite.data_root'" in capsys.readouterr().err


def cli(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code
