"""Control runs: which there are, what they train, and what is said of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.control_runs import CONFIG, HIGH, LOW, read, records, replace_controls, result

from mtl_framework.cli import main
from mtl_framework.comparisons.controls import control_cells, is_trivial, permutations_of
from mtl_framework.networks.result import UsedOptimizer
from mtl_framework.reports.analysis import analyse
from mtl_framework.runs.records import Control, RunRecord, make_groups
from mtl_framework.strategies.training import OptimizerConfig


def test_controls_train_what_was_learned_with_the_same_recipe(tmp_path: Path) -> None:
    settings_, (full, learned, fixed), plugins = read(tmp_path)
    shared, mixed = ((0, 0, 0),) * 4, ((0, 0, 1), (2, 1, 2), (0, 0, 0), (0, 1, 2))
    finished = [(full, result(shared)), (learned, result(mixed)), (fixed, result(mixed))]
    cells = control_cells(settings_, finished, plugins)
    assert [cell.control for cell in cells] == [
        Control("retrained", "learned"),
        Control("permuted", "learned", 1),
        Control("roaming", "learned"),
    ]
    retrained, permuted, roaming = cells
    assert retrained.strategy == "learned: retrained"
    assert permuted.strategy == "learned: permuted 1"
    assert retrained.config.strategy.options["matrix"] == [list(row) for row in mixed]
    assert permuted.config.strategy.options["matrix"] != [list(row) for row in mixed]
    for cell in cells:
        same = {"strategy": learned.config.strategy}
        assert cell.config.model_copy(update=same) == learned.config
        assert cell.config.strategy.options["learning_rate"] == 0.002
    assert roaming.config.strategy.name == "roaming"
    assert roaming.config.strategy.options["weight_samples"] == 2
    assert control_cells(settings_, finished, plugins) == cells  # so that they are resumed
    assert control_cells(replace_controls(settings_, ()), finished, plugins) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("retrain_with: roaming", "retrain_with should name a strategy with an option matrix"),
        ("roam_with: rooming", "roam_with: unknown strategy 'rooming'"),
        ("controls: [shuffled]", "controls"),
    ],
)
def test_wrong_settings_of_controls_are_named(line: str, message: str, tmp_path: Path) -> None:
    text = CONFIG if "controls" not in line else CONFIG.replace("controls: [r", "x: [r")
    with pytest.raises(Exception, match=message):
        read(tmp_path, text + line + "\n")


weights_of = st.integers(2, 5).flatmap(
    lambda tasks: st.lists(
        st.tuples(*[st.integers(0, tasks - 1)] * tasks), min_size=1, max_size=3
    ).map(tuple)
)


def partition(weights: Any) -> list[set[frozenset[int]]]:
    return [
        {frozenset(t for t, w in enumerate(row) if w == weight) for weight in row}
        for row in weights
    ]


@settings(max_examples=60)
@given(weights_of, st.integers(1, 3), st.integers(0, 50))
def test_permutations_keep_the_shape_and_share_otherwise(
    weights: Any, count: int, seed: int
) -> None:
    found = permutations_of(weights, count, seed)
    assert len(found) <= count
    assert found == permutations_of(weights, count, seed)
    assert is_trivial(weights) <= (not found)
    partitions = [partition(w) for w in (weights, *found)]
    assert all(a != b for n, a in enumerate(partitions) for b in partitions[:n])
    for permuted in found:
        columns = sorted(zip(*permuted, strict=True))
        assert columns == sorted(zip(*weights, strict=True))  # the same columns, of other tasks


@pytest.mark.parametrize(
    ("errors", "shown", "not_shown"),
    [
        (
            {"searched": LOW, "retrained": LOW, "permuted": HIGH, "roaming": HIGH},
            ["the assignment that was learned is better", "searching is better than roaming"],
            ["Only the wandering"],
        ),
        (
            {"searched": LOW, "retrained": HIGH, "permuted": HIGH, "roaming": LOW},
            [
                "Only the wandering helps",
                "roaming is better than permutations",
                "Not shown: the assign",
            ],
            [],
        ),
        (
            {"searched": LOW[:2], "retrained": HIGH[:2]},
            ["Too few seeds: the smallest p that the tests can give is 0.17"],
            ["Shown"],
        ),
        (
            {"searched": LOW, "retrained": LOW, "permuted": LOW, "roaming": LOW},
            ["Not shown"],
            ["Shown at", "Only the wandering"],
        ),
        (  # one question is not all that wandering would have to be told from
            {"searched": LOW, "retrained": HIGH},
            ["Shown at 0.05: the searched networks are better than their assignment"],
            ["Only the wandering"],
        ),
        (  # a kind with few runs takes nothing from the others
            {"searched": LOW, "retrained": LOW, "permuted": HIGH, "roaming": LOW[:1]},
            ["Shown at 0.05: the assignment that was learned is better"],
            ["Too few seeds"],
        ),
    ],
)
def test_the_verdict_says_what_the_tests_show(
    errors: dict[str, list[float]], shown: list[str], not_shown: list[str]
) -> None:
    (group,) = make_groups(records(errors))
    analysis = analyse(group)
    assert group.strategies == ("learned",)  # controls do not compete, nor count for Holm
    (controls,) = analysis.controls
    assert all(text in controls.verdict for text in shown), controls.verdict
    assert not any(text in controls.verdict for text in not_shown), controls.verdict
    assert [row.kind for row in controls.rows] == list(errors)
    told = "Two tasks cannot be permuted" in controls.verdict
    assert told is ("permuted" not in errors)


def lacking(record: RunRecord, ideal: float) -> RunRecord:
    """The same run by a metric that is better when larger: what it lacks is the error."""
    assert record.result is not None
    split = record.result.test
    per_task = {task: ideal - value for task, value in split.per_task.items()}
    test = replace(
        split,
        per_task=per_task,
        error_mean=sum(per_task.values()) / len(per_task),
        ideals=dict.fromkeys(per_task, ideal),
    )
    return replace(record, result=replace(record.result, test=test))


def with_units(record: RunRecord) -> RunRecord:
    """The same run by metrics with units: the second task's numbers are a thousand times larger."""
    assert record.result is not None
    split = record.result.test
    per_task = {"task0": split.per_task["task0"], "task1": 1000.0}
    metrics = dict.fromkeys(per_task, "RMSE")
    test = replace(split, per_task=per_task, error_mean=500.0, averaged=False)
    return replace(record, result=replace(record.result, test=test, metrics=metrics))


@pytest.mark.parametrize("change", [lambda record: lacking(record, 100.0), with_units])
def test_controls_are_compared_as_strategies_are(change: Any) -> None:
    """Whether a metric is better when larger, or has a unit: the answer is that of plain errors."""
    kinds = {"searched": LOW, "retrained": LOW, "permuted": HIGH, "roaming": HIGH}
    alone = replace(records({"searched": HIGH})[0], strategy="alone")
    plain = [alone, *records(kinds)]
    answers = []
    for found in (plain, [change(record) for record in plain]):
        (controls,) = analyse(make_groups(found)[0], baseline="alone").controls
        answers.append([(q.text, q.p) for q in controls.questions])
        assert "the assignment that was learned is better" in controls.verdict
    assert answers[0] == answers[1]


def test_seeds_without_a_permutation_are_left_out_of_that_question() -> None:
    """Seed 0 learned a trivial assignment, whose retrained run would decide the test."""
    found = records({"searched": LOW, "retrained": [9.0, *LOW[1:]], "permuted": HIGH})
    found = [r for r in found if not (r.control and r.control.kind == "permuted" and r.seed == 0)]
    (controls,) = analyse(make_groups(found)[0]).controls
    (question,) = [q for q in controls.questions if q.other == "permuted"]
    assert question.seeds == 4
    assert question.p == pytest.approx(1 / 70)


def test_controls_have_the_optimiser_that_the_strategy_chose(tmp_path: Path) -> None:
    text = CONFIG.replace("name: lws, as: learned, learning_rate: 0.002, nes_samples: 2,\n"
        "  weight_samples: 2, nes_learning_rate: 0.3", "name: recon, as: learned, optimizer: sgd, "
        "learning_rate: 0.05")  # fmt: skip
    settings_, (_, learned, _), plugins = read(tmp_path, text)
    mixed = result(((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 1, 2)))
    used = UsedOptimizer("momentum", 0.05, 0.01, {"momentum": 0.9})
    cells = control_cells(settings_, [(learned, replace(mixed, optimizer=used))], plugins)
    assert len(cells) == 3
    for cell in cells:
        training = cell.config.training
        assert training.optimizer is not None
        assert training.optimizer.name == "momentum"
        assert training.optimizer.options == {"momentum": 0.9}
        assert (training.learning_rate, training.weight_decay) == (0.05, 0.01)
    asked = learned.config.training.model_copy(
        update={"optimizer": OptimizerConfig(name="lion"), "learning_rate": 1.0}
    )
    given = replace(learned, config=learned.config.model_copy(update={"training": asked}))
    for cell in control_cells(settings_, [(given, replace(mixed, optimizer=used))], plugins):
        assert cell.config.training == asked.model_copy(update={"weight_decay": 0.01})


def test_permutations_of_a_seed_count_once() -> None:
    found = records({"searched": LOW, "permuted": HIGH})
    second = [
        replace(r, control=Control("permuted", "learned", 2))
        for r in found
        if r.control is not None
    ]
    (controls,) = analyse(make_groups([*found, *second])[0]).controls
    permuted = controls.rows[1]
    assert (permuted.runs, permuted.done) == (10, 10)
    assert permuted.error is not None
    assert permuted.error.n == 5


ADAPTERS = "{name: adapters, as: learned, kind: low_rank, assignment: learned}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("learner", "kinds"),
    [(None, ["retrained", "permuted", "roaming"]), (ADAPTERS, ["retrained", "permuted"])],
)
def test_a_comparison_runs_its_controls_and_shows_them(
    learner: str | None, kinds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "c.yaml", tmp_path / "out"
    text = CONFIG.replace("full_sharing, ", "").replace(
        ", {name: fixed_sharing, as: given, shared_first: 2}", ""
    )
    if learner is not None:  # whose search shares in part at the end, with this seed
        start, end = text.index("{name: lws"), text.index("]\nseeds")
        text = text[:start] + learner + text[end:]
    path.write_text(text)

    def mtl(*arguments: object) -> int:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        return int(caught.value.code or 0)

    assert mtl("compare", path, "--output", out) == 0
    told = capsys.readouterr()
    assert "controls of learned" in told.out
    assert ("controls: no roaming of learned" in told.err) is ("roaming" not in kinds)
    found = json.loads((out / "comparison.json").read_text())
    assert [run.get("control", {}).get("kind") for run in found["runs"]] == [None, *kinds]
    assert {run["state"] for run in found["runs"]} == {"done"}
    rows = found["groups"][0]["controls"][0]["rows"]
    assert [row["kind"] for row in rows] == ["searched", *kinds]
    page = (out / "report.html").read_text()
    assert "Assignment, search or wandering?" in page
    assert ("Roaming: assignments" in page) is ("roaming" in kinds)
    before = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/result.json")}
    assert mtl("compare", path, "--output", out) == 0
    assert {p: p.stat().st_mtime_ns for p in out.glob("runs/*/result.json")} == before
    assert mtl("report", out) == 0
    assert "controls of learned" in capsys.readouterr().out
