"""Whole runs of muir: generations, resuming, going back, baselines, and what is refused."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_backbones.linear import Linear
from mtl_muir.config import MuirConfig
from mtl_muir.presets import PRESETS
from mtl_muir.report.figures import figures
from mtl_muir.report.usage import Places, count_by_users, kinds, users
from mtl_muir.search.best import BestGeneration
from mtl_muir.search.evolution import Candidates
from mtl_muir.strategy import Muir
from pydantic import ValidationError
from support.muir_networks import linear_models, three_kinds, whole_batch
from support.tiny import TinyPlugins, content, tiny_config
from support.typed import stored
from torch import nn

from mtl_framework.backbones.build import build_plain
from mtl_framework.backbones.config import PlainBackboneConfig
from mtl_framework.backbones.recurrent import reset_state
from mtl_framework.data.tasks import Examples, Regression, Suite, Task
from mtl_framework.networks.evaluation import Evaluation, SplitMetrics
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.reports.figure import png
from mtl_framework.runs.config import check_config
from mtl_framework.runs.load import load_run
from mtl_framework.runs.records import RunRecord
from mtl_framework.runs.run import Result, Run
from mtl_framework.support.errors import MtlError

OPTIONS: dict[str, Any] = {
    "context_size": 2,
    "block_out": 8,
    "block_in": 8,
    "steps_per_generation": 2,
    "alternatives": 2,
    "challenged": 0.5,
    "reactivation": 0.2,
    "alpha": 0.5,
    "soft_learning_rate": 1.0,
}


def kinds_suite() -> Suite:
    """The three kinds of tasks, each with the backbone that its entry names."""
    backbones, suite = three_kinds()
    tasks = [
        dataclasses.replace(
            task, backbone={"name": b.name, "args": dict(b.recipe.args)}, batch_size=4
        )
        for task, b in zip(suite.tasks, backbones, strict=True)
    ]
    for task in tasks:
        assert task.backbone is not None
        for key in ("in_chans", "img_size"):
            task.backbone["args"].pop(key, None)
    return Suite("kinds", tasks)


def groups_suite(tasks: int = 6, groups: int = 2, noise: float = 0.0) -> Suite:
    """Linear tasks whose true vectors are multiples of one another within a group."""
    generator = torch.Generator().manual_seed(4)
    directions = torch.linalg.qr(torch.randn(8, groups, generator=generator)).Q.T * 2
    found = []
    for number in range(tasks):
        vector = directions[number * groups // tasks] * (0.5 + torch.rand(1, generator=generator))

        def draw(count: int, vector: torch.Tensor = vector) -> Examples:
            inputs = torch.rand(count, 8, generator=generator) * 2 - 1
            noisy = noise * torch.randn(count, generator=generator)
            return Examples(inputs, inputs @ vector + noisy)

        own = {"name": "linear", "args": {"bias": False}}
        found.append(
            Task(f"line{number}", Regression(), draw(6), draw(40), draw(5), 6, backbone=own)
        )
    return Suite("groups", found)


class MuirPlugins(TinyPlugins):
    """The small suites and networks of these tests."""

    def __init__(self) -> None:
        super().__init__(muir=Muir)
        self.register(MuirPlugin(), "muir tests")


class MuirPlugin:
    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"kinds": kinds_suite, "groups": groups_suite}

    @hookimpl
    def mtl_backbones(self) -> dict[str, str | Callable[..., nn.Module]]:
        return {
            "lenet": "mtl_backbones.lenet:LeNet",
            "lstm_language_model": "mtl_backbones.language_model:LstmLanguageModel",
            "deepbind": "mtl_backbones.deepbind:DeepBind",
            "linear": "mtl_backbones.linear:Linear",
        }


LINEAR: dict[str, Any] = {
    "context_size": 1,
    "block_out": 1,
    "block_in": 8,
    "learning_rate": 0.02,
    "soft_learning_rate": 0.05,
    "steps_per_generation": 20,
    "alternatives": 2,
    "challenged": 0.5,
}


def run_of(
    directory: Path, suite: str = "kinds", resume: bool = False, keys: Any = None, **options: Any
) -> Run:
    base = LINEAR if suite == "groups" else OPTIONS
    config = {"suite": {"name": suite}, "backbone": {"name": "linear"}, **(keys or {})}
    strategy = {"name": "muir", **base, **options}
    return Run.start(tiny_config(strategy, **config), MuirPlugins(), directory, resume)


def strategy_of(run: Run) -> Muir:
    assert isinstance(run.strategy, Muir)
    return run.strategy


# -- runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("kinds") / "run"
    run_of(folder, keys={"iterations": 8}).execute()
    return folder


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, finished: Path, at: int
) -> None:
    run_of(tmp_path / "run", keys={"iterations": at}).execute()
    longer = run_of(tmp_path / "run", resume=True, keys={"iterations": 8})
    assert longer.iteration == at
    longer.execute()
    ours, theirs = content(tmp_path / "run"), content(finished)
    # a shorter run is evaluated where it ends
    for name in ("metrics.jsonl", "config.yaml", "result.json"):
        ours.pop(name), theirs.pop(name)
    last = {name: value for name, value in ours.items() if "last" in name and "json" not in name}
    assert last == {name: theirs[name] for name in last}
    assert last


def test_a_run_with_fitted_contexts_goes_on_within_a_generation(tmp_path: Path) -> None:
    run_of(
        tmp_path / "a", "groups", keys={"iterations": 50}, challenger_contexts="fitted"
    ).execute()
    run_of(
        tmp_path / "b", "groups", keys={"iterations": 27}, challenger_contexts="fitted"
    ).execute()
    longer = run_of(
        tmp_path / "b", "groups", True, keys={"iterations": 50}, challenger_contexts="fitted"
    )
    maps = strategy_of(longer).network.maps
    assert maps is not None
    assert not torch.equal(maps, torch.ones_like(maps))  # there are challengers with their own
    longer.execute()
    ours, theirs = content(tmp_path / "b"), content(tmp_path / "a")
    last = [name for name in theirs if "last" in name and "json" not in name]
    assert last
    assert {name: ours[name] for name in last} == {name: theirs[name] for name in last}


def test_a_run_is_loaded_extracted_and_evaluated_again(finished: Path) -> None:
    run = load_run(finished, plugins=MuirPlugins())
    saved = json.loads((finished / "result.json").read_text())
    assert run.evaluate().splits["test"].per_task == pytest.approx(saved["test"]["per_task"])
    for t, task in enumerate(run.suite.tasks):
        model = run.extract(t)
        inputs = stored(task.test)
        with torch.no_grad():
            reset_state(run.network)
            torch.testing.assert_close(model(inputs), run.network.predict(t, inputs))


def test_metrics_say_who_uses_the_modules(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    metrics = [line["metrics"] for line in lines if "metrics" in line]
    run = load_run(finished, plugins=MuirPlugins())
    locations = sum(n for _, _, n in run.strategy.places.weights)  # type: ignore[attr-defined]
    assert metrics[0]["modules"] == locations
    assert [sum(m["modules_by_users"]) for m in metrics] == [m["modules"] for m in metrics]
    assert metrics[-1]["modules"] < locations
    assert len(metrics[0]["modules_by_users"]) == 7


def test_a_checkpoint_of_other_layers_is_refused(tmp_path: Path, finished: Path) -> None:
    backbones, suite = linear_models(2)
    torch.manual_seed(0)
    strategy = Muir(MuirConfig(block_out=1, block_in=4))
    strategy.build_each(backbones, suite)
    other = strategy.state_dict()
    strategy.load_state_dict(other)
    other["places"] = {"weights": [["a", "b", 2]]}
    with pytest.raises(MtlError, match="generate the weights of other layers"):
        strategy.load_state_dict(other)


# -- generations --------------------------------------------------------------------------------


def test_evaluation_at_a_generations_end_sees_the_survivors(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps_per_generation": 2, "soft_learning_rate": 1.0}
    early = run_of(tmp_path / "a", keys={"iterations": 2, "eval_every": 2}, **options)
    early.execute()
    assert not strategy_of(early).network.challenged.any()
    late = run_of(
        tmp_path / "b",
        keys={"iterations": 2, "eval_every": 2},
        refine="after_evaluation",
        **options,
    )
    late.execute()
    network = strategy_of(late).network
    assert network.challenged.any()
    assert torch.equal(network.best_mapping(), strategy_of(early).network.mapping)
    a, b = early.last_evaluation, late.last_evaluation
    assert a is not None
    assert b is not None
    assert a.splits["test"].per_task != b.splits["test"].per_task
    strategy_of(late).begin_generation(1, late)
    assert not torch.equal(network.candidates[:, 1:], network.candidates[:, :1])


def test_burn_in_and_the_end_of_the_search_leave_the_mapping_alone(tmp_path: Path) -> None:
    keys = {"iterations": 10, "eval_every": 1}
    run = run_of(tmp_path / "a", keys=keys, burn_in=2, search_generations=4)
    strategy = strategy_of(run)
    seen = []
    tell = run._observers.tell

    def noting(hook: str, **values: object) -> None:
        if hook == "mtl_step":
            seen.append(bool(strategy.network.challenged.any()))
        tell(hook, **values)

    run._observers.tell = noting  # type: ignore[method-assign]
    run.execute()
    # survivors are chosen within the last step of a generation
    assert seen == [False] * 4 + [True, False, True, False] + [False] * 2


def test_soft_weights_start_anew(tmp_path: Path) -> None:
    backbones, suite = linear_models(6)
    torch.manual_seed(0)
    strategy = Muir(MuirConfig(block_out=1, block_in=4, alternatives=3, alpha=0.3), 1)
    network = strategy.build_each(backbones, suite)
    strategy.challenge()
    expected = torch.tensor([0.7, 0.1, 0.1, 0.1]).expand(6, 4)
    torch.testing.assert_close(network.probabilities().detach(), expected)
    strategy.train_step(whole_batch(suite))
    assert network.logits in strategy.optimizer.state
    assert not torch.allclose(network.probabilities().detach(), expected)
    strategy.refine()
    strategy.challenge()
    assert network.logits not in strategy.optimizer.state
    torch.testing.assert_close(network.probabilities().detach(), expected)


@pytest.mark.parametrize("idle", ["still", "momentum"])
def test_idle_modules_rest_or_drift(idle: Any) -> None:
    backbones, suite = linear_models(4)
    torch.manual_seed(0)
    strategy = Muir(MuirConfig(block_out=1, block_in=4, idle_modules=idle), 1)
    network = strategy.build_each(backbones, suite)
    batch = whole_batch(suite)
    for _ in range(3):
        strategy.train_step(batch)
    network.challenge(
        Candidates(
            torch.tensor([[0, 0], [0, 0], [0, 0], [3, 3]]),
            torch.ones(4, dtype=torch.bool),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, dtype=torch.int64),
        ),
        torch.zeros(2),
        strategy.generator,
    )
    strategy.refine()
    before = network.hypermodules.hypermodules.detach().clone()
    strategy.train_step(batch)
    moved = (network.hypermodules.hypermodules.detach() != before).flatten(1).any(1)
    assert moved.tolist() == [True, idle == "momentum", idle == "momentum", True]


def test_going_back_to_the_best_generation(tmp_path: Path) -> None:
    keys = {"iterations": 60, "eval_every": 5, "log_every": 5}
    options: dict[str, Any] = {
        "steps_per_generation": 5, "search_generations": 10, "save_best": True,
        "learning_rate": 0.3, "best_by": "mean",
    }  # fmt: skip
    whole = run_of(tmp_path / "a", "groups", keys=keys, **options)
    whole.execute()
    lines = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    scores = {
        line["iteration"]: sum(line["evaluation"]["validation"]["loss_per_task"].values())
        for line in lines
        if "evaluation" in line
    }
    mappings = {
        line["iteration"]: line["metrics"]["mapping"] for line in lines if "metrics" in line
    }
    best = min((n for n in scores if n <= 50), key=lambda n: scores[n])
    assert mappings[60] == mappings[best]
    assert strategy_of(whole).best.score == pytest.approx(scores[best] / 6)
    for at in (25, 55):  # the best state survives a stop
        run_of(tmp_path / f"b{at}", "groups", keys={**keys, "iterations": at}, **options).execute()
        again = run_of(tmp_path / f"b{at}", "groups", resume=True, keys=keys, **options)
        again.execute()
        for name, value in whole.network.state_dict().items():
            assert torch.equal(value, again.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("by", "expected"), [("mean", 3.0), ("relative", 0.5 * (2 / 4 + 4 / 2)), ("b", 4.0)]
)
def test_what_validation_prefers(by: str, expected: float) -> None:
    def evaluation(a: float, b: float) -> Evaluation:
        split = SplitMetrics(0.0, None, {}, {"a": a, "b": b})
        return Evaluation(1, {"validation": split, "test": split})

    best = BestGeneration(by, ("a", "b"))
    best.consider(evaluation(4.0, 2.0))
    best.score = float("inf")
    assert best.consider(evaluation(2.0, 4.0))
    assert best.score == expected
    assert not best.consider(evaluation(2.0, 4.0))
    with pytest.raises(MtlError, match="needs validation examples"):
        best.consider(Evaluation(1, {"test": evaluation(1.0, 1.0).splits["test"]}))
    with pytest.raises(MtlError, match="unknown value of best_by 'c'"):
        BestGeneration("c", ("a", "b"))


# -- what is found ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contexts", "alternatives", "generations"), [("shared", 2, 40), ("fitted", 4, 60)]
)
def test_groups_are_found(contexts: str, alternatives: int, generations: int) -> None:
    """Two groups of four collinear tasks, each too small alone: two modules, and no error."""
    suite = groups_suite(8)
    backbone = build_plain(
        PlainBackboneConfig(name="linear", args={"bias": False}), (8,), torch.float32, 1, Linear
    )
    torch.manual_seed(2)
    options = {**LINEAR, "learning_rate": 0.01, "soft_learning_rate": 0.1}
    options |= {"challenger_contexts": contexts, "alternatives": alternatives}
    strategy = Muir(MuirConfig(**options), 2)
    network = strategy.build_each([backbone] * 8, suite)
    batch = whole_batch(suite)
    for generation in range(generations + 20):
        if generation < generations:
            strategy.challenge()
        for _ in range(30):
            strategy.train_step(batch)
        strategy.refine()
    first, second = network.mapping[:4].unique(), network.mapping[4:].unique()
    assert len(first) == len(second) == 1
    assert first != second
    for t, task in enumerate(suite.tasks):
        with torch.no_grad():
            outputs = network.predict(t, stored(task.test))
        losses = task.objective.losses(outputs, task.test.targets)
        assert float(losses.mean()) < 1e-4


def test_the_oracle_knows_the_groups(tmp_path: Path) -> None:
    groups = (0, 0, 0, 1, 1, 1)
    run = run_of(tmp_path / "a", "groups", selection="oracle", oracle_groups=groups)
    assert strategy_of(run).network.mapping.tolist() == [0, 0, 0, 3, 3, 3]
    run.execute()
    assert strategy_of(run).network.mapping.tolist() == [0, 0, 0, 3, 3, 3]


def test_random_selection_does_not_learn(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "a", "groups", keys={"iterations": 40}, selection="random",
        steps_per_generation=2,
    )  # fmt: skip
    run.execute()
    # random survivors in proportion to use: modules die out
    assert len(strategy_of(run).network.mapping.unique()) < 6


@pytest.mark.parametrize("decomposition", ["task", "all"])
def test_coarser_decompositions_run(tmp_path: Path, decomposition: str) -> None:
    run = run_of(tmp_path / "a", decomposition=decomposition, challenged=1.0)
    parts = strategy_of(run).network.logits.shape[0]
    assert parts == (3 if decomposition == "task" else 1)
    run.execute()


def test_a_common_backbone_is_taken_whole(tmp_path: Path) -> None:
    keys = {"backbone": {"name": "tiny"}, "suite": {"name": "tiny"}}
    run = run_of(tmp_path / "a", "tiny", keys=keys, block_out=2, block_in=2, indivisible="discard")
    result = run.execute()
    assert result.assignment is None
    layers = {weight for _, weight, _ in strategy_of(run).places.weights}
    assert layers == {"low.0.weight", "high.0.weight"}


# -- figures ------------------------------------------------------------------------------------


def record(folder: Path, label: str = "muir") -> RunRecord:
    result = Result.load(folder / "result.json")
    return RunRecord(label, "s", "b", 0, folder, result.iterations, "done", result)


def test_figures_of_a_run(tmp_path: Path, finished: Path) -> None:
    run_of(tmp_path / "a", "groups", keys={"iterations": 60, "log_every": 20}).execute()
    found = figures([record(finished), record(tmp_path / "a", "on lines")])
    assert [figure.name for figure in found] == [
        "muir-modules", "muir-layers", "muir-generic",
        "on-lines-modules", "on-lines-alignment", "on-lines-generic",
    ]  # fmt: skip
    for figure in found:
        assert len(png(figure.figure)) > 5000
    assert figures([]) == []


def test_modules_are_counted_by_their_users() -> None:
    mapping = torch.tensor([0, 0, 2, 2, 4])
    tasks = torch.tensor([0, 1, 1, 1, 2])
    used = users(mapping, tasks, 5)
    assert used.sum(1).tolist() == [2, 0, 1, 0, 1]
    names = kinds(("a", "b", "c"))
    found = dict(zip(names, count_by_users(used).tolist(), strict=True))
    assert found == {"a": 0, "b": 1, "a + b": 1, "c": 1, "a + c": 0, "b + c": 0, "a + b + c": 0}
    many = users(torch.zeros(7, dtype=torch.int64), torch.arange(7), 7)
    assert count_by_users(many).tolist() == [0] * 6 + [1]
    assert kinds("abcdefg")[:2] == ["1 task", "2 tasks"]


def test_places_know_their_locations() -> None:
    places = Places((("a", "x", 2), ("b", "y", 1), ("b", "z", 3)))
    assert places.tasks_of_locations().tolist() == [0, 0, 1, 1, 1, 1]
    assert places.weights_of_locations().tolist() == [0, 0, 1, 2, 2, 2]
    assert Places.from_state(places.state_dict()) == places


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_complete_configs(preset: str) -> None:
    values = dict(PRESETS[preset])
    options = {key: value for key, value in values["strategy"].items() if key != "name"}
    MuirConfig(**options)
    check_config({**values, "suite": {"name": "groups"}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection": "oracle"}, "should have oracle_groups exactly with selection=oracle"),
        ({"oracle_groups": (0,)}, "found some with selection=best"),
        ({"sampling": "uniform", "reactivation": 0.1}, "should have reactivation=0"),
        ({"save_best": True}, "should have search_generations with save_best"),
        ({"alpha": 1.0}, "less than 1"),
        (
            {"challenger_contexts": "fitted", "context_size": 0},
            "should have challenger_contexts=shared with context_size=0",
        ),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MuirConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection": "oracle", "oracle_groups": (0, 1)}, "each of the 6 tasks, found 2"),
        ({"block_in": 3}, "has 1 outputs and 8 inputs, which blocks of 1 x 3 do not divide"),
        ({"best_by": "lines"}, "unknown value of best_by 'lines'; did you mean 'line"),
    ],
)
def test_options_that_do_not_fit_the_tasks(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        run_of(tmp_path / "a", "groups", **options)


def test_an_oracle_needs_networks_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="tasks 'image' and 'text' are in one group, but have"):
        run_of(tmp_path / "a", selection="oracle", oracle_groups=(0, 0, 1))


def test_going_back_needs_evaluations(tmp_path: Path) -> None:
    keys = {"iterations": 60, "eval_every": 7}
    run = run_of(tmp_path / "a", "groups", keys=keys, search_generations=1, save_best=True)
    with pytest.raises(MtlError, match="eval_every should divide steps_per_generation=20, found 7"):
        run.execute()


# -- tasks without labels ------------------------------------------------------------------------


@pytest.mark.parametrize("context_size", [0, 2])
def test_a_task_without_labels_keeps_its_weights(tmp_path: Path, context_size: int) -> None:
    run = run_of(tmp_path / "run", "groups", context_size=context_size, challenged=1.0)
    strategy = strategy_of(run)
    network = strategy.network
    mapping = network.mapping.clone()
    mapping[1] = mapping[0]  # shared with a task that has labels
    network.settle(mapping)
    last = len(run.suite) - 1
    for _ in range(3):
        strategy.train_step(run.next_batch())  # momentum for all
    strategy.challenge()
    others = network.candidates[:last]  # none of which may try the module of the last task
    others[others == mapping[last]] = mapping[0]
    network.candidates[last] = mapping[last]
    batch = run.next_batch()
    missing = [torch.zeros(len(y), dtype=torch.bool) for y in batch.targets]
    labelled = tuple(mark if t in (1, last) else None for t, mark in enumerate(missing))
    before, soft = network.blocks().detach().clone(), network.logits.detach().clone()
    contexts = network.hypermodules.contexts.detach().clone()
    strategy.train_step(dataclasses.replace(batch, labelled=labelled))
    after = network.blocks().detach()
    assert torch.equal(after[last], before[last])
    assert torch.equal(network.logits[[1, last]], soft[[1, last]])
    assert torch.equal(network.hypermodules.contexts[[1, last]], contexts[[1, last]])
    assert not torch.equal(after[0], before[0])
    strategy.train_step(batch)  # and with labels it moves again
    assert not torch.equal(network.blocks().detach()[last], before[last])
