"""A table of features instead of images: three questions about a wine, and a small network."""

from collections.abc import Mapping

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from mtl_framework import hookimpl
from mtl_framework.data import Classification, Examples, Objective, Regression, Suite, Task

ASKED = ("alcohol", "proline")


def wine(*, seed: int = 0) -> Suite:
    """Grower, alcohol and proline of 178 wines from eleven other measurements (UCI, scikit-learn).

    Half of the wines to train on, a quarter each to validate and to test. Measurements, and the
    two that are asked for, are standardised by the training wines.

    Args:
        seed: of the split.
    """
    data = load_wine()
    rows = torch.tensor(data.data, dtype=torch.float32)
    grower = torch.tensor(data.target)
    train, rest = train_test_split(range(len(rows)), train_size=0.5, random_state=seed)
    validation, test = train_test_split(rest, train_size=0.5, random_state=seed)
    rows = (rows - rows[train].mean(0)) / rows[train].std(0)
    asked = [data.feature_names.index(name) for name in ASKED]
    kept = rows[:, [n for n in range(rows.shape[1]) if n not in asked]]
    inputs = [(kept[chosen], chosen) for chosen in (train, test, validation)]  # of all tasks

    def task(name: str, objective: Objective, targets: Tensor) -> Task:
        trained, tested, validated = (Examples(x, targets[chosen]) for x, chosen in inputs)
        return Task(name, objective, trained, tested, validated)

    names = tuple(str(name) for name in data.target_names)
    tasks = [task("grower", Classification(3, names), grower)]
    for name, column in zip(ASKED, asked, strict=True):
        tasks.append(task(name, Regression(), rows[:, column]))
    return Suite("wine", tasks, common_input=True)


class TableNet(nn.Module):
    """Linear layers with layer norm; every hidden layer is a unit.

    Args:
        num_classes: outputs.
        in_chans: features of a row.
        img_size: ``None``, as rows of a table are no images.
        width: of the hidden layers.
        depth: number of hidden layers that can be shared or not.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: tuple[int, int] | None = None,
        width: int = 32,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(in_chans, width)
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
                for _ in range(depth)
            )
        )
        self.head = nn.Linear(width, num_classes)

    def units(self) -> Mapping[str, list[str]]:
        """Units by name, with the submodules that make them up."""
        hidden = {f"hidden{n}": [f"hidden.{n}"] for n in range(len(self.hidden))}
        return {"stem": ["stem"], **hidden}

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (rows, num_classes) for rows (rows, in_chans)."""
        x = self.stem(x)
        for layer in self.hidden:
            x = x + layer(x)
        y: Tensor = self.head(x)
        return y


@hookimpl
def mtl_backbones() -> dict[str, type[nn.Module]]:
    """The network."""
    return {"tablenet": TableNet}


@hookimpl
def mtl_suites() -> dict[str, object]:
    """The questions."""
    return {"wine": wine}
