"""A saved run gives back what was trained, and says what is wrong with its files."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exported_runs import run_shapes, shapes, shapes_plugins
from support.tiny import TinyPlugins, start
from support.typed import stored

from mtl_framework.data.given import named_type
from mtl_framework.data.preprocessing import as_tensor
from mtl_framework.networks.evaluation import SplitMetrics
from mtl_framework.networks.result import Result
from mtl_framework.runs.load import LoadedRun, load_run
from mtl_framework.runs.other_suite import check_suite
from mtl_framework.support.errors import MtlError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return run_shapes(tmp_path_factory.mktemp("load") / "run")


def same(found: SplitMetrics, expected: SplitMetrics) -> None:
    """Equal to rounding: kernels may sum in another order where memory lies elsewhere."""
    for name, value in expected.per_task.items():
        assert found.per_task[name] == pytest.approx(value, rel=1e-6)
        assert found.loss_per_task[name] == pytest.approx(expected.loss_per_task[name], rel=1e-6)
    if expected.error_mean is None:  # tasks with different metrics have no mean
        assert found.error_mean is None
    else:
        assert found.error_mean == pytest.approx(expected.error_mean, rel=1e-6)


def test_evaluating_a_saved_run_gives_its_result(run: LoadedRun) -> None:
    result = Result.load(run.directory)
    same(run.evaluate().splits["test"], result.test)
    assert run.iteration == result.iterations


def test_last_and_best_are_different_states(tmp_path: Path) -> None:
    for strategy in ("soft", "routed"):
        directory = tmp_path / strategy
        start(directory, strategy=strategy).execute()
        result = Result.load(directory)
        assert result.best is not None
        for which, expected in (("last", result.test), ("best", result.best.test)):
            loaded = load_run(directory, which=which, plugins=TinyPlugins())  # type: ignore[arg-type]
            same(loaded.evaluate().splits["test"], expected)
            assert not loaded.network.training


def test_extracted_networks_predict_the_same(run: LoadedRun) -> None:
    images = stored(run.suite.tasks[0].test)
    for task in run.suite.task_names:
        with torch.no_grad():
            alone = run.extract(task)(run.preprocessing(images))
        torch.testing.assert_close(alone, run.predict(task, images))


def test_loading_changes_no_file_and_no_generator(run: LoadedRun) -> None:
    files = {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()}
    before = torch.get_rng_state()
    load_run(run.directory, plugins=shapes_plugins())
    assert torch.equal(before, torch.get_rng_state())
    assert files == {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()}


def test_wrong_inputs_and_tasks_are_named(run: LoadedRun) -> None:
    with pytest.raises(MtlError, match=r"\(N, 3, 32, 32\), found \(2, 3, 8, 8\)"):
        run.predict("brightness", torch.zeros(2, 3, 8, 8))
    with pytest.raises(MtlError, match="did you mean 'brightness'"):
        run.predict("brightnes", torch.zeros(1, 3, 32, 32))


def test_arrays_predict_as_tensors_do(run: LoadedRun) -> None:
    images = stored(run.suite.tasks[1].test)[:4]
    expected = run.predict("brightness", images)
    read_only = images.numpy().copy()
    read_only.setflags(write=False)
    backwards = images.flip(0).numpy()[::-1]
    for array in (read_only, backwards, images.numpy().astype(np.uint16) * 257):
        torch.testing.assert_close(run.predict(run.suite.task_names[1], array), expected)
        torch.testing.assert_close(run.outputs(1, array), run.outputs(1, images))
    floats = (images.numpy() / 255).astype(">f8")
    torch.testing.assert_close(
        run.predict("brightness", floats), run.predict("brightness", images / 255)
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([[1.0]], "should be a tensor or a numpy array of numbers .*, found list"),
        (None, "should be a tensor or a numpy array of numbers .*, found None"),
        (np.array(["a.png"]), "should be a tensor or a numpy array .*, found ndarray of <U5"),
        (np.zeros((2, 3), complex), "numpy array of numbers .*, found ndarray of complex"),
        (torch.zeros(2, 3, dtype=torch.complex64), "should be real numbers, found"),
    ],
)
def test_inputs_that_are_no_numbers_are_named(inputs: Any, message: str) -> None:
    with pytest.raises(MtlError, match=message):
        as_tensor(inputs)


def test_images_of_another_form_are_named(run: LoadedRun) -> None:
    for array, message in (
        (np.zeros((2, 3, 32, 32), int), r"images should be uint8, or floats .*, found int64 of sh"),
        (np.zeros((2, 32, 32, 3)), r"shape \(N, 3, 32, 32\), found \(2, 32, 32, 3\)"),
    ):
        with pytest.raises(MtlError, match=message):
            run.predict("brightness", array)


def test_what_is_no_task_or_suite_is_named(run: LoadedRun) -> None:
    wrong: Any = (None, True, 1.5)
    for task in wrong:
        with pytest.raises(MtlError, match=f"given by name or position, found {named_type(task)}"):
            run.suite.index(task)
    position: Any = np.int64(1)
    assert run.suite.index(position) == 1
    with pytest.raises(MtlError, match=r"suite should be a Suite, .*, found str"):
        check_suite("shapes")


def test_another_suite_must_have_the_runs_tasks(run: LoadedRun) -> None:
    assert run.evaluate(shapes(30)).splits["test"].per_task.keys() == set(run.suite.task_names)
    with pytest.raises(MtlError, match="has the tasks rows, sides"):
        run.evaluate(TinyPlugins().suite("tiny")())


def test_folders_that_hold_no_run_are_named(tmp_path: Path, run: LoadedRun) -> None:
    with pytest.raises(MtlError, match=r"no run in .*nowhere"):
        load_run(tmp_path / "nowhere", plugins=shapes_plugins())
    with pytest.raises(MtlError, match=r"no 'best' checkpoint; only runs with validation"):
        load_run(run.directory, which="best", plugins=shapes_plugins())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: test_resnet",
            "name: test_vit",
            "backbone.name is 'test_vit', it was 'test_resnet'",
        ),
        ("seed: 0", "seed: 1", "seed is 1, it was 0"),
        ("seed: 0", "seed: [", "config.yaml"),
    ],
)
def test_a_config_of_another_run_is_refused(
    tmp_path: Path, run: LoadedRun, old: str, new: str, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.directory, copy)
    text = (copy / "config.yaml").read_text()
    assert old in text
    (copy / "config.yaml").write_text(text.replace(old, new))
    with pytest.raises(MtlError, match=r"config\.yaml") as caught:
        load_run(copy, plugins=shapes_plugins())
    assert message in str(caught.value)
