"""The run of every setting that a plugin's figure draws."""

from pathlib import Path

import pytest
from support.synthetic_runs import make_runs

from mtl_framework.plotting import middle_runs
from mtl_framework.runs.records import make_groups


def test_each_setting_is_drawn_by_its_run_with_the_middle_error(tmp_path: Path) -> None:
    (group,) = make_groups(make_runs(tmp_path))
    done = [(record, record.result) for record in group.records if record.result is not None]
    strategies = {result.strategy for _, result in done}
    drawn = {label: (run, count) for label, run, count in middle_runs(group.records, strategies)}
    assert set(drawn) == {record.strategy for record, _ in done}
    for label, (run, count) in drawn.items():
        errors = sorted(result.test.overall for record, result in done if record.strategy == label)
        assert count == len(errors)
        assert run.result is not None
        assert run.result.test.overall == pytest.approx(errors[(count - 1) // 2])
    assert not list(middle_runs(group.records, ["another"]))
