"""Networks of soft orders as plain loops: a task at a time, layer by layer, in float64."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from mtl_soft_ordering.config import SoftOrderingConfig
from mtl_soft_ordering.order import FixedOrder
from mtl_soft_ordering.strategy import SoftOrdering
from torch import Tensor, nn

from mtl_framework import MixtureNetworks
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data import Batch, Suite
from support.makers import make_tasks, stirred

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"args": {"layers": (4, 1, 1, 1), "channels": (8, 8, 12, 16)}},
    "vit_tiny_patch16_224": {"args": {"depth": 3, "embed_dim": 24}},
    "convnext_atto": {"args": {"depths": (1, 3, 1, 1), "dims": (8, 12, 16, 20)}},
}


def ordered(
    backbone: Backbone, tasks: int = 2, stir: bool = True, group_major: bool = True, **options: Any
) -> MixtureNetworks:
    """In float64, with orders, norms and averages that differ from place to place."""
    torch.manual_seed(1)
    suite = Suite("drawn", make_tasks(tuple(range(2, 2 + tasks))))
    network = SoftOrdering(SoftOrderingConfig(**options)).build(backbone, suite).double()
    network.planner.group_major = group_major

    def amount(name: str, value: Tensor) -> float:
        if name.startswith("shares") and "logits" not in name:
            return 0.0  # a fixed order
        return 1.0 if "logits" in name else 0.3 * ("running" in name or value.ndim == 1)

    if stir:
        stirred(network, amount)
    return network


class Loops:
    """One task at a time through the plain model, layer by layer at every depth of the core."""

    def __init__(self, network: MixtureNetworks) -> None:
        self.network, self.backbone = network, network.backbone
        self.buffers = {name: b.detach().clone() for name, b in network.named_buffers()}
        self.parameters = dict(network.named_parameters(remove_duplicate=False))

    def step(self, batch: Batch, training: bool = True) -> Tensor:
        """Losses of all tasks; leaves gradients of their mean, and buffers as a step makes them."""
        losses = []
        for task, objective in enumerate(t.objective for t in self.network.tasks):
            features = self.features(task, batch.inputs[task], training)
            scores = self.network.heads[task](features)
            losses.append(objective.losses(scores, batch.targets[task]).mean())
        found = torch.stack(losses)
        if training:
            found.mean().backward()
        return found.detach()

    def features(self, task: int, inputs: Tensor, training: bool) -> Tensor:
        model = self.backbone.create(2).double().train(training)
        model.set_submodule(self.backbone.classifier, nn.Identity())
        units = enumerate(self.backbone.places)
        for unit, name in [(unit, place.names[0]) for unit, own in units for place in own]:
            module = model.get_submodule(name)
            if str(unit) in self.network.mixed:
                shares = self.network.mixed[str(unit)]()[task]
                model.set_submodule(name, self._mean(module, name, len(shares), shares, task))
                continue
            pool = next((pool for pool in self.network.pools if unit in pool), None)
            if pool is None:
                self._bind(module, f"model.{name}.copies.0.", task)
                continue
            if not any(n.startswith(f"model.{name}.copies.") for n in self.parameters):
                self._bind(module, f"model.{name}.", task)
                continue
            depth, number = pool.index(unit), self.network.pools.index(pool)
            order = self.network.shares[number]
            if isinstance(order, FixedOrder):
                shares = order.all_shares()[task, depth]
            else:
                logits = order.get_parameter("logits")[task, depth]
                shares = logits.exp() / logits.exp().sum()
            model.set_submodule(name, self._mean(module, name, len(pool), shares, task))
        places = tuple(place.names[0] + "." for ps in self.backbone.places for place in ps)
        rest = [n for n, _ in model.named_parameters() if not n.startswith(places)]
        for name in {n.rpartition(".")[0] for n in rest}:
            start = f"model.{name}." if name else "model."
            self._bind(model.get_submodule(name), start, task, deep=False)
        features: Tensor = model(inputs)
        return features

    def _mean(
        self, module: nn.Module, name: str, count: int, shares: Tensor, task: int
    ) -> nn.Module:
        """Copies of a plain module with the layers' own parameters, mixed by shares."""
        layers = [copy.deepcopy(module) for _ in range(count)]
        for number, layer in enumerate(layers):
            self._bind(layer, f"model.{name}.copies.{number}.", task)
        return Mean(layers, shares)

    def _bind(self, module: nn.Module, prefix: str, task: int, deep: bool = True) -> None:
        """Put the networks' own parameters, and views of their averages, into a plain module."""
        for name, part in module.named_modules() if deep else [("", module)]:
            start = prefix + (f"{name}." if name else "")
            for key in part._parameters:
                if part._parameters[key] is not None:
                    part._parameters[key] = self.parameters[start + key]
            for key, plain in part._buffers.items():
                if plain is not None and start + key in self.buffers:
                    own = self.buffers[start + key]
                    part._buffers[key] = own[task] if own.shape != plain.shape else own


class Mean(nn.Module):
    def __init__(self, layers: list[nn.Module], shares: Tensor) -> None:
        super().__init__()
        self.layers, self.shares = nn.ModuleList(layers), shares

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        total: Tensor = sum(
            share * layer(*args, **kwargs)
            for share, layer in zip(self.shares, self.layers, strict=True)
        )
        return total


def gradients(network: nn.Module) -> Mapping[str, Tensor]:
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


def compare(network: MixtureNetworks, batch: Batch) -> None:
    """Losses, gradients, running averages and predictions against the loops."""
    network.eval()
    for task, inputs in enumerate(batch.inputs):
        loops = Loops(network)
        expected = network.heads[task](loops.features(task, inputs, training=False))
        torch.testing.assert_close(network.predict(task, inputs), expected, **CLOSE)
        torch.testing.assert_close(network.extract(task)(inputs), expected, **CLOSE)
    network.train()
    loops = Loops(network)
    expected = loops.step(batch)
    wanted = gradients(network)
    network.zero_grad()
    assignments = network.assignment[None]
    found = network.accumulate_gradients(batch, assignments)[0]
    torch.testing.assert_close(found, expected, **CLOSE)
    ours = gradients(network)
    assert set(ours) == set(wanted)
    for name, gradient in wanted.items():
        torch.testing.assert_close(
            ours[name], gradient, **CLOSE, msg=partial("{}: {}".format, name)
        )
    for name, buffer in network.named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, loops.buffers[name], **CLOSE, msg=name)
