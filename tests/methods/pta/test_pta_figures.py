"""What a report shows of pseudo-task augmentation, and the record that it is drawn from."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_pta.course import MOST_NUMBERS, MOST_POINTS, Course, projected
from mtl_pta.figures import draw, project
from mtl_pta.strategy import PseudoTaskAugmentation
from support.tiny import TinyPlugins, start
from torch.nn.functional import cosine_similarity

from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png, svg
from mtl_framework.runs.records import RunRecord


def record(directory: Path, label: str, **options: Any) -> RunRecord:
    """A finished run."""
    named = {"name": options.pop("strategy", "pta"), **options}
    plugins = TinyPlugins(pta=PseudoTaskAugmentation)
    if not directory.exists():
        start(directory, plugins, strategy=named, iterations=16, eval_every=16).execute()
    result = Result.load(directory)
    return RunRecord(label, "tiny", "tiny", 0, directory, 16, "done", result)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    options = {"meta_iteration": 2, "decoders": 3}
    return [
        record(folder / "soft", "soft", strategy="soft"),
        record(folder / "frozen", "F", variant="F", **options),
        record(folder / "hgd", "HGD", variant="HGD", course_of="sides", **options),
        record(folder / "one", "one", variant="HGD", decoders=1),
    ]


def test_both_figures_are_drawn_from_the_runs_that_have_them(records: list[RunRecord]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trajectories, schedules = draw(records)
    assert trajectories.name == "pta-trajectories"
    assert "F: " in trajectories.alt
    assert "HGD: " in trajectories.alt
    assert "of one task (rows, sides)" in trajectories.alt
    assert "soft" not in trajectories.alt
    assert len(trajectories.figure.axes) == 2
    assert schedules.name == "pta-dropout"
    assert "HGD: from 0.50 to" in schedules.alt
    (axes,) = schedules.figure.axes
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.get_lines()}
    assert set(lines) == {"rows", "sides", "all tasks"}
    course = records[2].checkpoint()["course"]
    np.testing.assert_allclose(lines["rows"], np.stack(
        [course["iterations"], course["rates"][:, 0].mean(1)], 1
    ))  # fmt: skip
    for figure in (trajectories, schedules):
        assert svg(figure.figure).startswith("<svg")
        assert png(figure.figure)


def test_a_report_without_such_runs_has_no_such_figures(records: list[RunRecord]) -> None:
    assert not list(draw([records[0]]))
    assert not list(draw([records[3]]))
    assert [figure.name for figure in draw([records[1]])] == ["pta-trajectories"]


def test_decoders_that_stay_where_they_are_stay_in_the_plane() -> None:
    points = np.random.RandomState(0).normal(size=(20, 5)).astype(np.float32)
    points[10:] = points[3]
    plane = project(points)
    assert plane.shape == (20, 2)
    assert np.isfinite(plane).all()
    assert (plane[10:] == plane[3]).all()
    assert len(np.unique(plane, axis=0)) == 10


@pytest.mark.long
@given(st.integers(1, 900))
def test_a_course_is_bounded_and_evenly_spaced(points: int) -> None:
    course, resumed = Course(0), Course(0)
    one = torch.zeros(1, 1)
    for iteration in range(points):
        course.record(iteration, one, one, one)
        resumed.record(iteration, one, one, one)
        if iteration % 97 == 0:
            state, resumed = resumed.state_dict(), Course(1)
            resumed.load_state_dict(state)
    assert 0 < len(course) <= MOST_POINTS
    assert course.iterations[0] == 0
    assert len(set(np.diff(course.iterations))) <= 1
    assert course.iterations[-1] + np.diff([0, *course.iterations, points])[1:].max() >= points
    assert resumed.iterations == course.iterations
    assert resumed.task == 0


def test_large_weights_keep_their_angles() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 9000, generator=generator)
    weights[1] = weights[0] + 0.3 * weights[1]
    found = projected(weights)
    assert found.shape == (4, MOST_NUMBERS)
    assert torch.equal(found, projected(weights.clone()))
    for a, b in ((0, 1), (0, 2), (2, 3)):
        before = cosine_similarity(weights[a], weights[b], 0)
        assert float(cosine_similarity(found[a], found[b], 0)) == pytest.approx(
            float(before), abs=0.2
        )
    small = torch.randn(2, 5)
    assert torch.equal(projected(small), small)
