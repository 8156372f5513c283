"""By soft layer ordering every task mixes common layers in an order of its own.

Meyerson and Miikkulainen, "Beyond Shared Hierarchies: Deep Multitask Learning through Soft Layer
Ordering", ICLR 2018, arXiv 1711.00108.
"""

from collections.abc import Generator, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch

from mtl_framework import (
    Backbone,
    MixtureNetworks,
    MtlError,
    Step,
    Strategy,
    StrategyConfig,
    TrainingRun,
    UnknownNameError,
)
from mtl_framework.data import Suite

from .config import Core, SoftOrderingConfig
from .order import FixedOrder, SoftOrder


class SoftOrdering(Strategy):
    """Tasks share the layers of a core, which each of them mixes anew at every depth.

    How much of every layer a task has at a depth is a softmax, trained with the layers. The preset
    ``paper`` has the values of the authors' later code; the paper's appendix was not at hand.
    """

    Config: ClassVar[type[StrategyConfig]] = SoftOrderingConfig
    config: SoftOrderingConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "soft_ordering",
                "core": "largest",
                "others": "shared",
                "learning_rate": 1e-3,
                "order_rate": 1.0,
                "weight_decay": 1e-4,
            },
            "backbone": {"normalization": "task"},
        }
    }

    network: MixtureNetworks

    def build(self, backbone: Backbone, suite: Suite) -> MixtureNetworks:
        """Make a pool of layers for every core, and one optimiser of two groups."""
        config = self.config
        pools = cores(config.core, backbone)
        self.core = CoreUnits([[backbone.units[n].name for n in pool] for pool in pools])
        own, kind = config.others == "own", SoftOrder if config.order == "soft" else FixedOrder
        self.network = network = MixtureNetworks(
            backbone,
            suite.tasks,
            len(suite) if own else 1,
            pools=pools,
            shares=[kind(len(suite), len(pool)) for pool in pools],
            batched=config.batched,
            dropout=config.dropout,
        )
        pooled = {unit for pool in pools for unit in pool}
        for unit in range(len(backbone.units)):
            if own and unit not in pooled:
                network.assignment[unit] = torch.arange(len(suite))
        network.initialize(config.initialization_of(backbone))
        if config.order == "permuted":
            for fixed in self.fixed_orders():
                fixed.permute()
        orders = list(network.shares.parameters())
        rest = [p for p in network.parameters() if p not in set(orders)]
        groups: list[dict[str, Any]] = [{"params": rest}]
        if orders:
            groups.append({"params": orders, "lr_scale": config.order_rate, "weight_decay": 0.0})
        self.optimizer = self.make_optimizer(
            network,
            "adam",
            config.learning_rate,
            groups=groups,
            weight_decay=config.weight_decay,
        )
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train plainly: draw a batch of every task, and do a step of layers, heads and orders."""
        network = self.network
        assignments = network.assignment.cpu()[None]  # (samples, units, tasks)
        while True:
            network.train()
            self.optimizer.zero_grad()
            losses = network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses, {"certainty": self.certainty()})

    def certainty(self) -> torch.Tensor:
        """Return the mean over cores of :meth:`SoftOrder.certainty`."""
        orders = [order for order in self.network.shares if isinstance(order, SoftOrder)]
        return torch.stack([order.certainty() for order in orders or self.fixed_orders()]).mean()

    def fixed_orders(self) -> list[FixedOrder]:
        """Return every core's order where it is not trained; none where it is."""
        return [order for order in self.network.shares if isinstance(order, FixedOrder)]


class CoreUnits:
    """This holds the names of every core's units, saved with the weights for reports."""

    def __init__(self, units: list[list[str]]) -> None:
        self.units = units

    def state_dict(self) -> dict[str, Any]:
        """Return the names."""
        return {"units": [list(core) for core in self.units]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Check that the saved names are the same.

        Raises:
            MtlError: if they are others.
        """
        saved = [list(core) for core in state["units"]]
        if saved != self.units:
            raise MtlError(
                f"the core is {_shown(self.units)} here, and {_shown(saved)} in what was saved"
            )


def _shown(cores: list[list[str]]) -> str:
    return "; ".join(", ".join(core) for core in cores)


def cores(chosen: Core, backbone: Backbone) -> list[list[int]]:
    """Return the units of every core, ascending.

    Args:
        chosen: ``"largest"``, ``"every"``, or names and globs of the units of one core.
        backbone: the backbone whose units they are.

    Raises:
        MtlError: if no two units that follow each other have weights of equal shapes, a pattern
            matches no unit, or only one unit is named.
    """
    if isinstance(chosen, str):
        rows = [row for row in _alike(backbone) if len(row) > 1]
        if not rows:
            raise MtlError(
                f"strategy soft_ordering: no two units of backbone {backbone.name!r} that follow "
                "each other have weights of equal shapes, so there is nothing to order; deeper "
                "models of its family, ViT and ConvNeXt have such units"
            )
        return rows if chosen == "every" else [max(rows, key=len)]
    names = [unit.name for unit in backbone.units]
    for pattern in chosen:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UnknownNameError("unit in strategy.core", pattern, names)
    core = [n for n, name in enumerate(names) if any(fnmatchcase(name, p) for p in chosen)]
    if len(core) < 2:
        raise MtlError(f"strategy.core should name at least two units, found {names[core[0]]}")
    return [core]


def _alike(backbone: Backbone) -> list[list[int]]:
    """Return runs of consecutive units whose weights have equal names and shapes."""
    with torch.random.fork_rng(devices=[]):
        model = backbone.recipe.create(2, pretrained=False)
    rows: list[list[int]] = []
    before: object = None
    for number, unit in enumerate(backbone.units):
        # the module with most weights is the layer; what else belongs to a unit stays where it is
        modules = [model.get_submodule(place) for place in unit.places]
        layer = max(modules, key=lambda module: sum(p.numel() for p in module.parameters()))
        shapes = [(name, tuple(p.shape)) for name, p in layer.named_parameters()]
        if shapes == before and unit.output_shape is not None:
            rows[-1].append(number)
        else:
            rows.append([number])
        before = shapes
    return rows
