"""Controls have what the runs have that they belong to: nothing more, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.control_runs import CONFIG, LOW, read, records, replace_controls, result

from mtl_framework.comparisons.controls import control_cells, without_controls
from mtl_framework.networks.best import Best
from mtl_framework.reports.analysis import analyse
from mtl_framework.runs.records import Control, make_groups
from mtl_framework.support.errors import MtlError


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


def among(strategy: str) -> str:
    """The config of comparisons with controls, with another strategy that learns."""
    start, end = CONFIG.index("{name: lws"), CONFIG.index(", {name: fixed_sharing")
    return CONFIG[:start] + strategy + CONFIG[end:]


def test_what_assigns_no_whole_units_trains_its_own_controls(tmp_path: Path) -> None:
    """All options are the run's, but those of its search; roaming of whole units is no control."""
    text = among(
        "{name: adapters, as: learned, kind: low_rank, rank: 2, scale: 0.5, assignment: learned, "
        "nes_samples: 8, weights_per_unit: 2, initialization: he_uniform}"
    )
    settings_, (_, learned, _), plugins = read(tmp_path, text)
    finished = [(learned, result(MIXED))]
    retrained, permuted = control_cells(settings_, finished, plugins)
    kept = {"kind": "low_rank", "rank": 2, "scale": 0.5, "initialization": "he_uniform"}
    usual = plugins.strategy("adapters").Config().model_dump(mode="json")
    for cell in (retrained, permuted):
        strategy = cell.config.strategy
        given = strategy.options["assignment"]["matrix"]
        assert strategy.name == "adapters"
        assert strategy.options == usual | kept | {"assignment": strategy.options["assignment"]}
        assert (given == [list(row) for row in MIXED]) is (cell is retrained)
        same = {"strategy": learned.config.strategy}
        assert cell.config.model_copy(update=same) == learned.config
    assert retrained.control == Control("retrained", "learned")
    assert permuted.control == Control("permuted", "learned", 1)
    assert without_controls(settings_, finished, plugins) == {"learned": ["roaming"]}
    without = replace_controls(settings_, ("retrained", "permuted"))
    assert without_controls(without, finished, plugins) == {}
    assert control_cells(without, finished, plugins) == [retrained, permuted]


def test_what_nothing_trains_has_no_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_, (_, learned, _), plugins = read(tmp_path)
    monkeypatch.setattr(plugins.strategy("lws"), "control_options", lambda config: None)
    finished = [(learned, result(MIXED))]
    assert control_cells(settings_, finished, plugins) == []
    lacking = {"learned": ["retrained", "permuted", "roaming"]}
    assert without_controls(settings_, finished, plugins) == lacking


@pytest.mark.parametrize(
    ("hook", "returned", "message"),
    [
        (
            "given_options",
            ["matrix"],
            "given_options should return options by name, or None, found list",
        ),
        (
            "given_options",
            {"nes_samples": 3},
            "should return options that give the assignment .* among nes_samples",
        ),
        ("given_options", {"name": "fixed_sharing"}, "give the assignment"),
        ("control_options", 3, "control_options should return options by name, or None, found int"),
    ],
)
def test_what_a_strategy_says_of_its_controls_is_checked(
    hook: str, returned: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options without the assignment would be those of the run: it would be its own control."""
    settings_, (_, learned, _), plugins = read(tmp_path)
    monkeypatch.setattr(plugins.strategy("lws"), hook, lambda *_: returned)
    with pytest.raises(MtlError, match=message) as refusal:
        control_cells(settings_, [(learned, result(MIXED))], plugins)
    assert str(refusal.value).startswith("strategy 'lws': ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "strategy",
    [
        "{name: adapters, as: learned, assignment: {shared_first: 2}}",
        "{name: pta, as: learned, sharing: {shared_first: 2}}",
    ],
)
def test_what_is_given_has_no_controls(strategy: str, tmp_path: Path) -> None:
    settings_, (_, learned, _), plugins = read(tmp_path, among(strategy))
    finished = [(learned, result(MIXED))]
    assert control_cells(settings_, finished, plugins) == []
    assert without_controls(settings_, finished, plugins) == {}
    assert without_controls(replace_controls(settings_, ()), finished, plugins) == {}


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
