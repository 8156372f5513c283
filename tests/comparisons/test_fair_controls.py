"""Controls have what the runs have that they belong to: nothing more, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.control_runs import CONFIG, LOW, read, records, replace_controls, result

from mtl_framework.comparisons.controls import control_cells, without_controls
from mtl_framework.networks.best import Best
from mtl_framework.reports.analysis import analyse
from mtl_framework.runs.records import Control, make_groups


def test_controls_train_the_assignment_of_the_networks_that_count(tmp_path: Path) -> None:
    settings_, (_, learned, _), plugins = read(tmp_path, CONFIG + "select: best\n")
    last, earlier = ((0, 0, 0),) * 4, ((0, 0, 1), (2, 1, 2), (0, 0, 0), (0, 1, 2))
    ended = result(last)
    assert ended.assignment is not None
    kept = replace(ended.assignment, weights=earlier)
    cases = {earlier: Best(2, ended.test, ended.test, kept), last: Best(2, ended.test, ended.test)}
    for weights, best in cases.items():
        cells = control_cells(settings_, [(learned, replace(ended, best=best))], plugins)
        matrices = [cell.config.strategy.options.get("matrix") for cell in cells]
        wanted = [list(row) for row in weights]
        assert matrices[:1] == ([wanted] if weights == earlier else [])  # all shared: no control
    by_last, _, _ = read(tmp_path)
    found = replace(ended, best=cases[earlier])
    assert control_cells(by_last, [(learned, found)], plugins) == []


MIXED = ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 1, 2))


@pytest.mark.parametrize(
    ("options", "settles"), [("freeze_after: 0.7", 0.3), ("freeze_after: 1", 0.5)]
)
def test_roaming_settles_for_as_long_as_the_search_is_frozen(
    options: str, settles: float, tmp_path: Path
) -> None:
    text = CONFIG.replace("learning_rate: 0.002", f"gradient_scaling: usage, {options}")
    settings_, (_, learned, _), plugins = read(tmp_path, text)
    roaming = control_cells(settings_, [(learned, result(MIXED))], plugins)[-1]
    assert roaming.control == Control("roaming", "learned")
    assert roaming.config.strategy.options["gradient_scaling"] == "usage"
    settled = plugins.strategy("roaming").Config.model_validate(roaming.config.strategy.options)
    assert settled.settles == pytest.approx(settles)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ("{name: adapters, as: learned, kind: low_rank, assignment: learned}", True),
        ("{name: adapters, as: learned, assignment: {shared_first: 2}}", False),
        ("{name: pta, as: learned, sharing: {shared_first: 2}}", False),
    ],
)
def test_what_is_given_or_no_whole_unit_has_no_controls(
    strategy: str, told: bool, tmp_path: Path
) -> None:
    start = CONFIG.index("{name: lws")
    end = CONFIG.index(", {name: fixed_sharing")
    settings_, (_, learned, _), plugins = read(tmp_path, CONFIG[:start] + strategy + CONFIG[end:])
    finished = [(learned, result(MIXED))]
    assert control_cells(settings_, finished, plugins) == []
    assert without_controls(settings_, finished, plugins) == (["learned"] if told else [])
    assert without_controls(replace_controls(settings_, ()), finished, plugins) == []


@pytest.mark.parametrize("kept", [False, True])
def test_a_verdict_says_where_the_assignment_that_counts_is_not_kept(kept: bool) -> None:
    found = []
    for record in records({"searched": LOW, "retrained": LOW}):
        assert record.result is not None
        own = record.result.assignment if kept else None
        best = Best(1, record.result.test, record.result.test, own)
        found.append(replace(record, result=replace(record.result, best=best, iterations=4)))
    (controls,) = analyse(make_groups(found)[0], select="best").controls
    assert ("controls train the assignment of the last step" in controls.verdict) != kept
