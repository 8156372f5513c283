"""Another suite that does not fit a run's networks is refused with what differs."""

import pytest
import torch

from mtl_framework.data.objectives import Binary, Classification, Objective
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.runs.other_suite import check_tasks
from mtl_framework.support.errors import MtlError


def suite(objective: Objective) -> Suite:
    examples = Examples(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4) % 2)
    return Suite("pets", [Task("kind", objective, examples, examples)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            Classification(2, ("cat", "wolf")),
            "has the classes cat, wolf, that of the run the classes cat, dog",
        ),
        (Binary(), r"has the objective Binary\(.*, that of the run Classification\("),
    ],
)
def test_classes_are_told_apart(given: Objective, message: str) -> None:
    run = suite(Classification(2, ("cat", "dog")))
    check_tasks(run, run)
    with pytest.raises(MtlError, match=message):
        check_tasks(suite(given), run)
