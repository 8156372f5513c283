"""Objectives and metrics that a run's config chooses: they matter, are recorded, and stay."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import TinyPlugins, content, start, tiny_config, tiny_suite

from mtl_framework import MtlError, Result, hookimpl, load_run
from mtl_framework.data import Binary, Classification, Examples, Ordinal, Regression, Suite, Task
from mtl_framework.runs.assembly import find_suite
from mtl_framework.runs.resolve import Layer, resolve
from mtl_framework.runs.settings import Setting
from mtl_framework.runs.task_choices import with_task_choices


class Halved(Classification):
    """A third party's loss."""

    kind = "halved"

    def losses(self, outputs: Any, targets: Any) -> Any:
        return super().losses(outputs, targets) / 2


class HalvedPlugin:
    @hookimpl
    def mtl_objectives(self) -> dict[str, Any]:
        def halved(task: Task, /, *, names: bool = True) -> Halved:
            assert isinstance(task.objective, Classification)
            return Halved(task.objective.num_classes)

        return {"halved": halved}


def numbers_suite() -> Suite:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.rand(30, 1, 4, 4, generator=generator)
    counts = (5 * inputs[:, 0, 0, 0]).round()
    labels = (inputs[:, 0, :2, 0] > 0.5).float()
    labels[::3, 1] = -1
    tasks = []
    for name, objective, targets in (
        ("counts", Regression.standardized(counts), counts),
        ("labels", Regression(2), labels),
    ):
        examples = Examples(inputs, targets)
        tasks.append(Task(name, objective, examples, examples, examples))
    return Suite("numbers", tasks, common_input=True)


class NumbersPlugin:
    @hookimpl
    def mtl_suites(self) -> dict[str, Any]:
        return {"numbers": numbers_suite}


def plugins() -> TinyPlugins:
    made = TinyPlugins()
    made.register(HalvedPlugin(), "halved")
    made.register(NumbersPlugin(), "numbers")
    return made


def chosen(suite: Suite | None = None, **sections: Any) -> Suite:
    return with_task_choices(suite or tiny_suite(), tiny_config(**sections), plugins())


@pytest.mark.parametrize(
    "objectives",
    [
        {"all": {"label_smoothing": 0.2}},
        {"rows": {"class_weights": [1.0, 2.0, 3.0]}},
        {"all": {"focal_gamma": 2.0}},
        {"rows": {"name": "ordinal"}},
        {"sides": {"positive_weight": 4.0}},
        {"rows": {"name": "halved"}},
    ],
    ids=str,
)
def test_every_choice_changes_what_is_learned_and_resumes_exactly(
    tmp_path: Path, objectives: dict[str, Any]
) -> None:
    start(tmp_path / "plain", plugins(), strategy="routed").execute()
    run = start(tmp_path / "a", plugins(), strategy="routed", objectives=objectives)
    run.execute()
    files = [content(tmp_path / name) for name in ("plain", "a")]
    assert files[0]["metrics.jsonl"] != files[1]["metrics.jsonl"]
    short = {"strategy": "routed", "objectives": objectives}
    start(tmp_path / "b", plugins(), **short, iterations=2).execute()
    start(tmp_path / "b", plugins(), **short, resume=True).execute()
    assert content(tmp_path / "b")["result.json"] == files[1]["result.json"]
    loaded = load_run(tmp_path / "a", plugins=plugins())
    assert [t.objective for t in loaded.suite.tasks] == [t.objective for t in run.suite.tasks]
    test = loaded.evaluate().splits["test"]
    assert test.per_task == Result.load(tmp_path / "a").test.per_task
    assert loaded.evaluate(tiny_suite()).splits["test"] == test


def test_all_holds_for_those_that_can_take_it() -> None:
    suite = chosen(objectives={"all": {"label_smoothing": 0.1}, "rows": {"focal_gamma": 1.0}})
    assert suite.tasks[0].objective == Classification(3, (), 0.1, (), 1.0)
    assert suite.tasks[1].objective == Binary()
    assert suite.notes == ("objectives.all.label_smoothing does not apply to sides",)
    ordinal = chosen(objectives={"rows": {"name": "ordinal"}}).tasks[0].objective
    assert ordinal == Ordinal(3)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"objectives": {"row": {}}}, "task in objectives 'row'.*did you mean 'rows'"),
        ({"objectives": {"rows": {"smoothing": 1}}}, "unknown key 'objectives.rows.smoothing'"),
        ({"objectives": {"rows": {"name": "ordinals"}}}, "objective 'ordinals'.*'ordinal'"),
        ({"objectives": {"rows": {"label_smoothing": "a"}}}, "objectives.rows.label_smoothing"),
        ({"objectives": {"all": {"beta": 1}}}, "objectives.all.beta fits no task.*leave it out$"),
        ({"objectives": {"all": {"focal_gama": 1}}}, "fits no task.*did you mean 'focal_gamma'"),
        ({"objectives": {"rows": {"name": "poisson"}}}, "objectives.rows: objective 'poisson'"),
        ({"metrics": {"rows": {"main": "f2"}}}, "metric of task 'rows' 'f2'.*'f1'"),
        ({"metrics": {"all": {"main": "rsme"}}}, "metric in metrics.all 'rsme'"),
        ({"metrics": {"sides": {"report": ["f1", "top5"]}}}, "metric of task 'sides' 'top5'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit_is_named(section: Any, text: str) -> None:
    with pytest.raises(MtlError, match=text):
        chosen(**section)


def test_the_main_metric_decides_what_is_best(tmp_path: Path) -> None:
    metrics = {"all": {"main": "auroc", "report": ["accuracy"]}, "sides": {"main": "f1"}}
    result = start(tmp_path / "a", plugins(), strategy="routed", metrics=metrics).execute()
    assert result.metrics == {"rows": "macro AUROC %", "sides": "F1 %"}
    assert set(result.test.metrics["rows"]) == {"accuracy %", "macro AUROC %"}
    assert result.test.per_task["rows"] == result.test.metrics["rows"]["macro AUROC %"]
    assert result.test.ideals == {"rows": 100, "sides": 100}
    assert set(result.higher_is_better) == {"accuracy %", "macro AUROC %", "F1 %"}
    assert Result.load(tmp_path / "a") == result
    assert result.best is not None
    assert load_run(tmp_path / "a", plugins=plugins()).evaluate().splits["test"] == result.test


def test_larger_is_better_where_it_is(tmp_path: Path) -> None:
    """Accuracy as the main metric chooses what the error chooses."""
    found = []
    for name, metrics in (("error", {}), ("accuracy", {"all": {"main": "accuracy"}})):
        result = start(tmp_path / name, plugins(), strategy="routed", metrics=metrics).execute()
        assert result.best is not None
        found.append((result.best.iteration, result.test.gaps, result.test.overall))
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1])
    assert found[0][2] == pytest.approx(found[1][2])


def test_counts_and_labels_train_predict_and_are_judged_in_their_units(tmp_path: Path) -> None:
    objectives = {"counts": {"name": "poisson"}, "labels": {"name": "multi_label"}}
    run = start(tmp_path / "a", plugins(), strategy="routed", suite={"name": "numbers"},
                objectives=objectives)  # fmt: skip
    run.execute()
    loaded = load_run(tmp_path / "a", plugins=plugins())
    inputs = numbers_suite().tasks[0].test.inputs
    assert isinstance(inputs, torch.Tensor)
    predicted = loaded.predict("counts", inputs)
    assert float(predicted.min()) > 0
    torch.testing.assert_close(predicted, loaded.outputs("counts", inputs).exp())
    alone = loaded.extract("counts")(loaded.preprocessings[0](inputs))
    torch.testing.assert_close(alone, predicted)
    described = loaded.suite.tasks[1].objective.describe(loaded.outputs("labels", inputs))
    assert set(described[0]) == {"0", "1"}
    assert all(0 <= p <= 1 for p in described[0].values())


def test_sections_are_set_on_the_command_line_and_merged_key_by_key() -> None:
    low = Layer({"objectives": {"rows": {"label_smoothing": 0.1}}, "suite": {"name": "tiny"},
                 "strategy": {"name": "soft"}, "backbone": {"name": "tiny"}})  # fmt: skip
    high = Layer({"objectives": {"rows": {"focal_gamma": 1.0}}})
    setting = Setting(("objectives", "sides", "positive_weight"), 2.0)
    config = resolve(plugins(), [low, high], [setting]).config
    assert config.objectives == {
        "rows": {"label_smoothing": 0.1, "focal_gamma": 1.0},
        "sides": {"positive_weight": 2.0},
    }
    objectives = [task.objective for task in find_suite(config, plugins()).tasks]
    assert objectives == [Classification(3, (), 0.1, (), 1.0), Binary(2.0)]
