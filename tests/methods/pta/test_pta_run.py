"""Pseudo-task augmentation as a run: choosing, resuming, what is left afterwards."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_pta.network import PseudoTaskNetworks
from mtl_pta.strategy import PseudoTaskAugmentation
from support.tiny import TinyPlugins, content, start, tiny_config, tiny_suite
from support.typed import stored
from torch import Tensor

import mtl_framework
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Interrupted, Run
from mtl_framework.support.errors import MtlError

HGD = {"name": "pta", "variant": "IFPDHG", "decoders": 3, "meta_iteration": 2}


class Plugins(TinyPlugins):
    """With pseudo-task augmentation; can send a signal after a step."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__(pta=PseudoTaskAugmentation)
        self.after = after

    def notify(self, hook: str, **values: Any) -> None:
        super().notify(hook, **values)
        if hook == "mtl_step" and values["run"].iteration == self.after:
            signal.raise_signal(signal.SIGINT)


def begin(directory: Path, after: int | None = None, **options: Any) -> Run:
    options.setdefault("strategy", HGD)
    return start(directory, Plugins(after), eval_every=3, **options)


def network_of(run: Run) -> PseudoTaskNetworks:
    assert isinstance(run.network, PseudoTaskNetworks)
    return run.network


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    begin(folder).execute()
    return folder


@pytest.mark.parametrize("at", range(1, 6))
def test_a_run_stopped_after_any_step_goes_on_as_if_it_had_not(
    tmp_path: Path, whole: Path, at: int
) -> None:
    with pytest.raises(Interrupted):
        begin(tmp_path, at).execute()
    torch.rand(at)
    begin(tmp_path, resume=True).execute()
    assert content(tmp_path) == content(whole)


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path: Path, whole: Path) -> None:
    begin(tmp_path / "again").execute()
    begin(tmp_path / "other", seed=1).execute()
    assert content(tmp_path / "again") == content(whole)
    found = [json.loads((p / "result.json").read_text()) for p in (tmp_path / "other", whole)]
    assert found[0]["test"] != found[1]["test"]


def test_every_task_predicts_with_the_decoder_of_the_least_validation_error(
    tmp_path: Path,
) -> None:
    run = begin(tmp_path, strategy={**HGD, "variant": "I", "cost": "loss"}, iterations=3)
    run.execute()
    network = network_of(run).eval()
    for number, task in enumerate(run.suite.tasks):
        assert task.validation is not None
        inputs, targets = stored(task.validation).float() / 255, task.validation.targets
        with torch.no_grad():  # in evaluation mode: no dropout
            outputs = network.decoder_scores(number, network.features(number, inputs))
        losses = torch.stack([task.objective.losses(y, targets).mean() for y in outputs])
        assert int(network.decoders(number).chosen) == int(losses.argmin())
        assert run.last_evaluation is not None
        figures = run.last_evaluation.splits["validation"]
        assert figures.loss_per_task[task.name] == pytest.approx(float(losses.min()), rel=1e-5)


class Shuffled(Plugins):
    """The same suite with other labels to test by."""

    @hookimpl
    def mtl_suites(self) -> dict[str, Any]:
        return {"changed": changed_suite}


def changed_suite() -> Suite:
    tasks = []
    for task in tiny_suite().tasks:
        test = Examples(stored(task.test).flip(0), task.test.targets.roll(1))
        tasks.append(Task(task.name, task.objective, task.train, test, task.validation))
    return Suite("changed", tasks)


def test_test_examples_choose_nothing(tmp_path: Path, whole: Path) -> None:
    plugins = Shuffled()
    plugins.register(plugins, "changed")
    run = start(tmp_path / "r", plugins, strategy=HGD, eval_every=3, suite={"name": "changed"})
    result = run.execute()
    other = load_run(whole, plugins=Plugins())
    assert json.loads((whole / "result.json").read_text())["test"] != result.test
    for name, value in other.network.state_dict().items():
        assert torch.equal(value, run.network.state_dict()[name]), name


def test_measuring_candidates_changes_nothing(tmp_path: Path) -> None:
    run = begin(tmp_path)
    network = network_of(run).train()
    network.heads[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    assert isinstance(run.strategy, PseudoTaskAugmentation)
    first, _ = run.strategy.costs(run)
    second, _ = run.strategy.costs(run)
    assert torch.equal(first, second)  # without dropout, whatever the mode
    assert torch.equal(generator, torch.get_rng_state())
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert network.training
    assert network.heads[0].training
    assert not network.heads[1].training
    batches = [run.next_batch().inputs[0], begin(tmp_path / "b").next_batch().inputs[0]]
    assert torch.equal(*batches)


def test_frozen_decoders_of_a_run_stay_as_they_began(tmp_path: Path) -> None:
    options = {"variant": "F", "weight_decay": 0.1, "optimizer": "rmsprop"}
    run = begin(tmp_path, strategy={**HGD, **options})
    layers = network_of(run).decoders(0).layers
    before = [layer.get_parameter("weight").detach().clone() for layer in layers]
    run.execute()
    after = [layer.get_parameter("weight") for layer in network_of(run).decoders(0).layers]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [False, True, True]


def test_meta_iterations_come_every_m_steps(tmp_path: Path) -> None:
    run = begin(tmp_path / "a", iterations=7)
    run.execute()
    assert isinstance(run.strategy, PseudoTaskAugmentation)
    assert run.strategy.course.iterations == [0, 2, 4, 6]
    epoch = begin(tmp_path / "b", strategy={**HGD, "meta_iteration": "epoch"}, iterations=7)
    epoch.execute()  # 24 examples by 8
    assert isinstance(epoch.strategy, PseudoTaskAugmentation)
    assert epoch.strategy.course.iterations == [0, 3, 6]


def test_an_epoch_counts_the_rows_that_are_read(tmp_path: Path) -> None:
    labelled = torch.arange(24) < 7

    class Sparse(Plugins):
        @hookimpl
        def mtl_suites(self) -> dict[str, Any]:
            def suite() -> Suite:
                tasks = tiny_suite().tasks
                return Suite("tiny", [masked(task, labelled) for task in tasks])

            return {"sparse": suite}

    def masked(task: Task, mask: torch.Tensor) -> Task:
        return dataclasses.replace(task, train=dataclasses.replace(task.train, labelled=mask))

    plugins = Sparse()
    plugins.register(plugins, "sparse")
    strategy = {**HGD, "meta_iteration": "epoch"}
    config = tiny_config(strategy, suite={"name": "sparse"}, iterations=4, eval_every=4)
    run = Run.start(config, plugins, tmp_path)
    run.execute()  # 7 labelled examples of 24, by 8: one batch
    assert isinstance(run.strategy, PseudoTaskAugmentation)
    assert run.strategy.course.iterations == [0, 1, 2, 3, 4]


def test_metrics_tell_what_choosing_found(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    steps = {line["iteration"]: line["metrics"] for line in lines if "metrics" in line}
    assert [n for n, metrics in steps.items() if metrics] == [2, 3, 4, 6]
    assert set(steps[2]) == {"validation_cost", "ensemble_cost", "dropout_rate"}
    evaluated = {line["iteration"]: line["evaluation"] for line in lines if "evaluation" in line}
    for iteration in (3, 6):
        mean = evaluated[iteration]["validation"]["error_mean"]
        assert steps[iteration]["validation_cost"] == pytest.approx(mean)


@pytest.mark.parametrize("variant", ["I", "FP", "HGD"])
def test_decoders_are_evaluated_as_they_were_judged(tmp_path: Path, variant: str) -> None:
    strategy = {**HGD, "variant": variant, "meta_iteration": 3, "prediction": "ensemble"}
    run = begin(tmp_path, strategy=strategy, iterations=6)
    run.execute()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    costs = {n["iteration"]: n["metrics"] for n in lines if n.get("metrics")}
    for line in lines:
        if "evaluation" in line:
            mean = line["evaluation"]["validation"]["error_mean"]
            assert costs[line["iteration"]]["ensemble_cost"] == pytest.approx(mean)
    # and at the end they are D different ones, whatever the next step would have copied
    layers = network_of(run).decoders(0).layers
    weights = [torch.nn.utils.parameters_to_vector(layer.parameters()) for layer in layers]
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_saved_run_predicts_with_the_chosen_decoders(which: Any, whole: Path) -> None:
    loaded = load_run(whole, which=which, plugins=Plugins())
    inputs = stored(loaded.suite.tasks[0].test)
    expected = loaded.predict(0, inputs)
    with torch.no_grad():
        found: Tensor = loaded.extract(0)(loaded.preprocessing(inputs))
    torch.testing.assert_close(found, expected)
    result = json.loads((whole / "result.json").read_text())
    figures = result["test"] if which == "last" else result["best"]["test"]
    assert loaded.evaluate().splits["test"].error_mean == pytest.approx(figures["error_mean"])


def test_a_saved_run_can_be_measured_as_an_ensemble(whole: Path) -> None:
    loaded = load_run(whole, plugins=Plugins())
    assert isinstance(loaded.network, PseudoTaskNetworks)
    inputs = stored(loaded.suite.tasks[0].test)
    with torch.no_grad():
        features = loaded.network.features(0, loaded.preprocessing(inputs))
        expected = loaded.network.decoder_scores(0, features).mean(0)
    loaded.network.prediction = "ensemble"
    torch.testing.assert_close(loaded.predict(0, inputs), expected)
    with torch.no_grad():
        torch.testing.assert_close(loaded.extract(0)(loaded.preprocessing(inputs)), expected)


def test_it_stands_on_what_an_earlier_run_found(tmp_path: Path) -> None:
    learned = start(tmp_path / "lws", Plugins(), strategy="learned", iterations=2)
    found = learned.execute().assignment
    assert found is not None
    sharing = {"from_run": str(tmp_path / "lws")}
    result = begin(tmp_path / "pta", strategy={**HGD, "sharing": sharing}).execute()
    assert result.assignment is not None
    for mine, theirs in zip(result.assignment.weights, found.weights, strict=True):
        assert (mine[0] == mine[1]) == (theirs[0] == theirs[1])
    assert json.loads(json.dumps(sharing)) == sharing


def test_a_suite_without_validation_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    suite = {"name": "tiny", "validation": False}
    with pytest.raises(MtlError, match="task 'rows' of suite 'tiny' has none"):
        begin(tmp_path / "r", suite=suite)
    assert not (tmp_path / "r").exists()
    one = begin(tmp_path / "one", suite=suite, strategy={**HGD, "decoders": 1})
    assert one.execute().validation is None


def test_it_is_found_by_its_name() -> None:
    from mtl_framework.plugins.manager import Plugins as Installed

    assert Installed.load().strategy("pta") is PseudoTaskAugmentation
    assert issubclass(PseudoTaskNetworks, mtl_framework.TaskNetworks)
