"""Examples without labels, from a suite to a run's figures; what their targets hold is poison."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.makers import make_backbone
from support.tiny import TinyPlugins, content, start
from torch import Tensor, nn

from mtl_framework.data.batches import BalancedBatches, Batch
from mtl_framework.data.tasks import Classification, Examples, Regression, Suite, Task
from mtl_framework.networks.evaluation import evaluate
from mtl_framework.networks.model import MultiTaskModel, ParameterCounts
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.testing.oracle import Oracle

CPU = torch.device("cpu")


class Partly:
    """A plugin with the suite below."""

    def __init__(self, poison: int, common_input: bool) -> None:
        self.poison, self.common_input = poison, common_input

    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[[], Suite]]:
        return {"partly": lambda: partly(self.poison, self.common_input)}


def partly(poison: int, common_input: bool, rows: int = 24, size: int = 4) -> Suite:
    """Classes of which some are not known, a number of which most are not, and one full task."""
    generator = torch.Generator().manual_seed(2)
    tasks: list[Task] = []
    for number, part in enumerate((0.6, 0.2, None)):
        objective = Regression() if number == 1 else Classification(3)
        splits = []
        for split in range(3):
            images = torch.randint(256, (rows, 1, size, size), generator=generator)
            inputs = images.to(torch.uint8)
            if common_input and tasks:
                inputs = list(tasks[0].splits().values())[split].inputs  # type: ignore[assignment]
            targets = torch.randint(3, (rows,), generator=generator)
            labelled = None
            if part is not None:
                labelled = torch.rand(rows, generator=generator) < part
                labelled[number] = True
                targets = targets.where(labelled, poison)
            splits.append(Examples(inputs, targets.float() if number == 1 else targets, labelled))
        tasks.append(Task(f"task{number}", objective, splits[0], splits[2], splits[1]))
    return Suite("partly", tasks, common_input)


@pytest.mark.parametrize("common_input", [True, False])
def test_a_run_never_sees_what_has_no_label(tmp_path: Path, common_input: bool) -> None:
    found = []
    for poison in (0, 2):
        plugins = TinyPlugins()
        plugins.register(Partly(poison, common_input), "partly")
        folder = tmp_path / str(poison)
        options: dict[str, Any] = {"suite": {"name": "partly"}, "strategy": "learned"}
        start(folder, plugins, batch_size=3, **options).execute()
        found.append(content(folder))
    assert found[0] == found[1]
    assert len(found[0]["metrics.jsonl"]) >= 6


def test_a_step_without_a_tasks_label_has_no_loss_of_it(tmp_path: Path) -> None:
    plugins = TinyPlugins()
    plugins.register(Partly(0, True), "partly")
    options: dict[str, Any] = {"suite": {"name": "partly"}, "strategy": "learned"}
    start(tmp_path / "r", plugins, batch_size=3, iterations=12, log_every=1, **options).execute()
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").open()]
    steps = [line for line in lines if "loss" in line]
    partly_labelled = [step["loss_per_task"]["task1"] for step in steps]
    assert None in partly_labelled
    assert any(isinstance(value, float) and value > 0 for value in partly_labelled)
    for step in steps:
        known = [value for value in step["loss_per_task"].values() if value is not None]
        assert step["loss_per_task"]["task2"] is not None
        assert step["loss"] == pytest.approx(sum(known) / len(known))


class Echo(MultiTaskModel):
    """Answers with the inputs' first numbers."""

    def predict(self, task: int, inputs: Tensor) -> Tensor:
        return inputs[:, : self.tasks[task].objective.num_outputs]

    def extract(self, task: int) -> nn.Module:
        raise NotImplementedError

    def sharing(self) -> None:
        return None

    def parameter_counts(self) -> ParameterCounts:
        return ParameterCounts(0, 0)


@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_metrics_are_those_of_labelled_examples(common_input: bool, batch_size: int) -> None:
    answers = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    numbers = Examples(
        answers,
        torch.tensor([1e6, 0.5, 1e6, 1e6, -0.5, 1e6]),
        torch.tensor([0, 1, 0, 0, 1, 0]).bool(),
    )
    classes = Examples(
        answers, torch.tensor([0, 2, 2, 2, 2, 2]), torch.tensor([1, 1, 1, 0, 0, 1]).bool()
    )
    suite = Suite(
        "s",
        [Task("n", Regression(), numbers, numbers), Task("c", Classification(3), classes, classes)],
        common_input,
    )
    test = evaluate(Echo(suite.tasks), suite, 1, CPU, batch_size).splits["test"]
    assert test.per_task == {"n": 0.5, "c": 25.0}
    assert test.loss_per_task["n"] == pytest.approx(0.25)


def test_pooled_errors_weigh_tasks_by_their_labels() -> None:
    answers = torch.eye(2)[[0, 0, 0, 0]]
    few = Examples(answers, torch.tensor([1, 0, 0, 0]), torch.tensor([1, 0, 0, 0]).bool())
    all_of_them = Examples(answers, torch.tensor([0, 0, 1, 0]))
    tasks = [Task(name, Classification(2), x, x) for name, x in (("f", few), ("a", all_of_them))]
    suite = Suite("s", tasks, common_input=True)
    test = evaluate(Echo(suite.tasks), suite, 1, CPU, 3).splits["test"]
    assert test.per_task == {"f": 100.0, "a": 25.0}
    assert test.error_pooled == 40.0


# -- one input for all tasks -----------------------------------------------------------------------


class Calls:
    """Rows of every call of some modules."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.rows: list[int] = []
        for module in modules:
            module.register_forward_hook(
                lambda module, inputs, out: self.rows.append(len(inputs[0]))
            )


@pytest.mark.parametrize("lacking", [False, True])
def test_a_fully_shared_backbone_runs_once_a_batch(lacking: bool) -> None:
    suite = partly(0, common_input=True, size=32)
    if not lacking:
        full = [
            replace(t, train=replace(t.train, labelled=None), test=replace(t.test, labelled=None))
            for t in suite.tasks
        ]
        suite = Suite("s", full, common_input=True)
    backbone = make_backbone("resnet18", in_chans=1, args={"channels": (8, 8, 8, 8)})
    network = TaskNetworks(backbone, suite.tasks, 1)
    units = len(backbone.units)
    first_of_each_unit = [bank.copies[0] for bank in network.banks()]
    calls = Calls(first_of_each_unit)
    batches = BalancedBatches(suite, 5, 0, CPU)
    assignments = torch.zeros(4, units, 3, dtype=torch.int64)
    for step in range(1, 4):
        network.accumulate_gradients(batches.next(), assignments)
        assert calls.rows == [5] * len(first_of_each_unit) * step


@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_evaluation_of_a_common_input_runs_each_path_once(normalization: str) -> None:
    suite = partly(0, common_input=True, size=32)
    args = {"channels": (8, 8, 8, 8)}
    torch.manual_seed(1)
    backbone = make_backbone("resnet18", in_chans=1, args=args, normalization=normalization)
    network = TaskNetworks(backbone, suite.tasks, 2).eval()
    network.assignment.copy_(torch.tensor([0, 1, 0]).expand(len(backbone.units), -1))
    inputs = torch.rand(4, 1, 32, 32)
    calls = Calls([next(network.banks()).copies[0]])
    with torch.no_grad():
        found = network.predict_all(inputs)
        assert len(calls.rows) == 1
        for task, outputs in enumerate(found):
            torch.testing.assert_close(outputs, network.predict(task, inputs))
    calls.rows.clear()
    evaluate(network, suite, 1, CPU, 100)
    assert len(calls.rows) == 2  # in two splits
    if normalization != "task":
        return
    full = Batch(
        (inputs,) * 3, (torch.zeros(4).long(), torch.zeros(4), torch.zeros(4).long()), True
    )
    none = torch.zeros(4, dtype=torch.bool)
    for labelled, passes in (((), 1), ((none, None, None), 2)):
        network.train().losses(replace(full, labelled=labelled), network.assignment[None])
        calls.rows.clear()
        with torch.no_grad():
            found = network.eval().predict_all(inputs)
            assert len(calls.rows) == passes  # tasks 0 and 2 have one path, then other averages
            for task, outputs in enumerate(found):
                torch.testing.assert_close(outputs, network.predict(task, inputs))


def test_batches_of_a_suite_agree_with_the_loops() -> None:
    """Poisoned targets, masks and the common root, as batches bring them."""
    suite = partly(1, common_input=True, size=32)
    torch.manual_seed(0)
    backbone = make_backbone("resnet18", in_chans=1, args={"channels": (8, 8, 8, 8)})
    network = TaskNetworks(backbone, suite.tasks, 2).double().train()
    torch.set_default_dtype(torch.float64)
    try:
        batch = BalancedBatches(suite, 6, 0, CPU).next()
    finally:
        torch.set_default_dtype(torch.float32)
    assert batch.labelled[0] is not None
    assert 0 < batch.labelled[0].sum() < 6
    assignments = torch.randint(2, (3, len(backbone.units), 3))
    expected = Oracle(network).step(batch, assignments)
    losses = network.accumulate_gradients(batch, assignments)
    torch.testing.assert_close(losses, expected.losses, rtol=1e-10, atol=1e-10)
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(
                parameter.grad, expected.gradients[name], rtol=1e-9, atol=1e-10
            )
