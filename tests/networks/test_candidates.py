"""Several candidates of every task, measured on validation examples."""

import pytest
import torch
from support.makers import make_backbone
from torch import Tensor

from mtl_framework.data.objectives import Classification, Regression
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.networks.candidates import validate
from mtl_framework.networks.evaluation import evaluate
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.support.errors import MtlError

CPU = torch.device("cpu")


def examples(count: int, labels: Tensor, labelled: Tensor | None = None) -> Examples:
    return Examples(torch.rand(count, 3, 32, 32), labels, labelled)


def suite() -> Suite:
    """Classes with labels that are missing, and numbers."""
    torch.manual_seed(0)
    classes, numbers = torch.arange(7) % 3, torch.rand(5, 1)
    some = torch.tensor([True, True, False, True, True, False, True])
    first = examples(7, classes), examples(7, classes), examples(7, classes, some)
    second = examples(5, numbers), examples(5, numbers), examples(5, numbers)
    return Suite(
        "mixed",
        [
            Task("classes", Classification(3), *first),
            Task("numbers", Regression(), *second),
        ],
    )


def network(tasks: Suite) -> TaskNetworks:
    torch.manual_seed(1)
    backbone = make_backbone("resnet18", args={"channels": (4, 4, 4, 4)})
    return TaskNetworks(backbone, tasks.tasks, 1)


def test_candidates_have_the_figures_of_networks_that_predict_the_same() -> None:
    tasks = suite()
    model = network(tasks)

    def twice(task: int, inputs: Tensor) -> Tensor:
        outputs = model.predict(task, inputs)
        return torch.stack([outputs, torch.zeros_like(outputs)])

    found = validate(model, tasks, twice, CPU, 3)
    expected = evaluate(model, tasks, 0, CPU, 3).splits["validation"]
    for task, metrics in zip(tasks.tasks, found, strict=True):
        assert metrics.errors.shape == metrics.losses.shape == (2,)
        assert float(metrics.errors[0]) == pytest.approx(expected.per_task[task.name])
        assert float(metrics.losses[0]) == pytest.approx(expected.loss_per_task[task.name])
    assert float(found[0].losses[1]) == pytest.approx(float(torch.tensor(3.0).log()))
    numbers = tasks.tasks[1].validation
    assert numbers is not None
    assert float(found[1].errors[1]) == pytest.approx(float(numbers.targets.square().mean().sqrt()))


def test_nothing_else_has_changed_afterwards() -> None:
    tasks = suite()
    model = network(tasks).train()
    model.heads[0].eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()

    def noisy(task: int, inputs: Tensor) -> Tensor:
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        return model.predict(task, inputs)[None]

    validate(model, tasks, noisy, CPU, 3)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(generator, torch.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_task_without_validation_is_named() -> None:
    data = examples(4, torch.arange(4) % 2)
    tasks = Suite("s", [Task("only", Classification(2), data, data)])
    with pytest.raises(MtlError, match="task 'only' of suite 's' has no validation examples"):
        validate(network(tasks), tasks, lambda task, inputs: inputs, CPU, 2)
