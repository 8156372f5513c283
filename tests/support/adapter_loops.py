"""Networks with adapters as plain loops: a task at a time, each adapter as its equation says."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mtl_adapters.config import AdaptersConfig
from mtl_adapters.layers import LowRank, Parallel, Series
from mtl_adapters.network import AdapterNetworks
from mtl_adapters.strategy import Adapters
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data import Batch, Suite
from support.makers import make_tasks, stirred

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"args": {"layers": (1, 1, 1, 1), "channels": (8, 8, 12, 16)}},
    "convnext_atto": {"args": {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)}},
    "vit_tiny_patch16_224": {"args": {"depth": 2, "embed_dim": 24}},
}


def with_adapters(
    backbone: Backbone, tasks: int = 2, stir: bool = True, group_major: bool = True, **options: Any
) -> AdapterNetworks:
    """In float64, with adapters, norms and averages that are not what they start as."""
    torch.manual_seed(1)
    suite = Suite("drawn", make_tasks(tuple(range(2, 2 + tasks))))
    network = Adapters(AdaptersConfig(**options)).build(backbone, suite).double()
    network.planner.group_major = group_major
    inside = ("alpha", "up", "down", "norm", "bn", "running")
    if stir:
        stirred(network, lambda name, value: 0.3 * any(part in name for part in inside))
    return network


class Beside(nn.Module):
    """A plain layer and an adapter, each computed by itself."""

    def __init__(self, layer: nn.Module, adapter: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.adapter = layer, adapter

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, x: Tensor) -> Tensor:
        u: Tensor = self.layer(x)
        return u + self.adapter(x, u)


def pointwise(x: Tensor, matrix: Tensor, layer: Any, strided: bool) -> Tensor:
    """A 1x1 convolution beside or behind a layer, with its groups, and its stride if beside."""
    if isinstance(layer, nn.Linear):
        return x @ matrix.T
    stride = layer.stride if strided else 1
    return F.conv2d(x, matrix[:, :, None, None], stride=stride, groups=layer.groups)


def low_rank(x: Tensor, down: Tensor, up: Tensor, layer: Any) -> Tensor:
    """Two layers one behind the other, or where channels are in groups their product."""
    if isinstance(layer, nn.Linear):
        return x @ down.T @ up.T
    if layer.groups > 1:
        weight = (up @ down).view(layer.weight.shape)
        return F.conv2d(x, weight, None, layer.stride, layer.padding, 1, layer.groups)
    first = F.conv2d(x, down.view(-1, *layer.weight.shape[1:]), None, layer.stride, layer.padding)
    return F.conv2d(first, up[:, :, None, None])


class Loops:
    """One task at a time through the plain model."""

    def __init__(self, network: AdapterNetworks) -> None:
        self.network, self.backbone = network, network.backbone
        self.buffers = {name: b.detach().clone() for name, b in network.named_buffers()}
        self.parameters = dict(network.named_parameters(remove_duplicate=False))

    def step(self, batch: Batch) -> Tensor:
        """Losses of all tasks; leaves gradients of their mean, and buffers as a step makes them."""
        losses = []
        for task, objective in enumerate(t.objective for t in self.network.tasks):
            scores = self.network.heads[task](self.features(task, batch.inputs[task], True))
            losses.append(objective.losses(scores, batch.targets[task]).mean())
        total = torch.stack(losses)
        total.mean().backward()
        return total.detach()

    def features(self, task: int, inputs: Tensor, training: bool) -> Tensor:
        model = self.backbone.create(2).double().train(training)
        model.set_submodule(self.backbone.classifier, nn.Identity())
        column = self.network.assignment[:, task].tolist()
        banked = []
        for unit, places in enumerate(self.backbone.places):
            for place in places:
                name, prefix = place.names[0], f"model.{place.names[0]}.copies.{column[unit]}."
                banked.append(f"{name}.")
                bank: Any = self.network.model.get_submodule(name)
                copy = bank.copies[column[unit]]
                self._bind(model.get_submodule(name), copy, prefix, task, training)
                for inner, adapter in copy.named_modules():
                    if isinstance(adapter, (Parallel, LowRank, Series)):
                        full = f"{name}.{inner}"
                        layer = model.get_submodule(full)
                        beside = self._adapter(adapter, layer, f"{prefix}{inner}.", task, training)
                        model.set_submodule(full, Beside(layer, beside))
        for name, _ in [*model.named_parameters(), *model.named_buffers()]:
            if not name.startswith(tuple(banked)) and f"model.{name}" in self.parameters:
                owner, _, key = name.rpartition(".")
                model.get_submodule(owner)._parameters[key] = self.parameters[f"model.{name}"]
            elif not name.startswith(tuple(banked)):
                owner, _, key = name.rpartition(".")
                own = self.buffers[f"model.{name}"]
                plain = model.get_buffer(name)
                model.get_submodule(owner)._buffers[key] = (
                    own[task] if own.shape != plain.shape else own
                )
        self._hold(model)
        features: Tensor = model(inputs)
        return features

    def _hold(self, model: nn.Module) -> None:
        """A frozen trunk's norms predict: all outside the units, and those inside, if shared."""
        if not self.network.frozen:
            return
        units = tuple(p.names[0] for places in self.backbone.places for p in places)
        for name, module in model.named_modules():
            inside = name.startswith(units)
            shared = not inside or not self.network.own_norms
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and shared:
                module.eval()

    def _adapter(
        self, adapter: nn.Module, layer: Any, prefix: str, task: int, training: bool
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The adapter's part of the output, from input and the layer's output."""
        own = {n: self.parameters[prefix + n] for n, _ in adapter.named_parameters(recurse=False)}
        if isinstance(adapter, Parallel):
            return lambda x, u: pointwise(x, own["alpha"], layer, True)
        if isinstance(adapter, LowRank):
            return lambda x, u: adapter.scale * low_rank(x, own["down"], own["up"], layer)
        averages = []
        for key in ("running_mean", "running_var"):
            buffer = self.buffers[f"{prefix}norm.{key}"]
            averages.append(buffer[task] if buffer.ndim == 2 else buffer)
        mean, var = averages
        weight, bias = (self.parameters[f"{prefix}norm.{key}"] for key in ("weight", "bias"))

        def behind(x: Tensor, u: Tensor) -> Tensor:
            flat = u.flatten(0, -2) if isinstance(layer, nn.Linear) else u
            normalised = F.batch_norm(flat, mean, var, weight, bias, training, 0.1, 1e-5)
            return pointwise(normalised.view(u.shape), own["alpha"], layer, False)

        return behind

    def _bind(
        self, module: nn.Module, copy: nn.Module, prefix: str, task: int, training: bool
    ) -> None:
        """Put the networks' own parameters, and views of their averages, into a plain module."""
        for name, part in module.named_modules():
            inside = copy.get_submodule(name)
            start = prefix + (f"{name}." if name else "")
            start += "layer." if isinstance(inside, (Parallel, LowRank, Series)) else ""
            if not any(key.startswith(start) for key in [*self.parameters, *self.buffers]):
                continue
            for key in part._parameters:
                if part._parameters[key] is not None:
                    part._parameters[key] = self.parameters[start + key]
            for key, plain in part._buffers.items():
                if plain is not None and start + key in self.buffers:
                    own = self.buffers[start + key]
                    part._buffers[key] = own[task] if own.shape != plain.shape else own


def compare(network: AdapterNetworks, batch: Batch) -> None:
    """Losses, gradients, running averages, predictions and extracted networks against loops."""
    network.eval()
    for task, inputs in enumerate(batch.inputs):
        expected = network.heads[task](Loops(network).features(task, inputs, training=False))
        torch.testing.assert_close(network.predict(task, inputs), expected, **CLOSE)
        torch.testing.assert_close(network.extract(task)(inputs), expected, **CLOSE)
    network.train()
    loops = Loops(network)
    expected = loops.step(batch)
    wanted = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    losses = network.accumulate_gradients(batch, network.assignment[None])[0]
    torch.testing.assert_close(losses, expected, **CLOSE)
    ours = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    assert set(ours) == set(wanted)
    for name, gradient in wanted.items():
        torch.testing.assert_close(ours[name], gradient, **CLOSE, msg=f"gradient of {name}")
    for name, buffer in network.named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, loops.buffers[name], **CLOSE, msg=name)
