"""The oracle says what is right: plain loops, one sample and one task at a time, in float64.

It is written from the definitions, not from the framework's code: every column of the assignment is
run through the plain model, with the very parameters that the assignment names, in sequential
order, sample by sample and within a sample task by task. Plain batch norms update plain buffers.
Where all tasks read one input, a batch norm that sees rows which met the same weights earlier in
the step leaves its buffers alone: the same rows count once, however many columns they stand for.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..data.batches import Batch
from ..networks.task_networks import TaskNetworks


@dataclass
class Outcome:
    """An outcome is losses (S, T), gradients by parameter name, and buffers by buffer name."""

    losses: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


@dataclass
class Oracle:
    """The oracle computes a step of ``network`` by loops, and leaves ``network`` alone."""

    network: TaskNetworks
    plain: nn.Module = field(init=False)
    parameters: dict[str, Tensor] = field(init=False)
    buffers: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.plain = self.network.backbone.create(2).double()
        if not self.network.backbone.heads_inside:
            self.plain.set_submodule(self.network.backbone.classifier, nn.Identity())
        self.parameters = {
            name: p.detach().clone().requires_grad_()
            for name, p in self.network.named_parameters(remove_duplicate=False)
        }
        by_identity: dict[int, Tensor] = {}
        for name, p in self.network.named_parameters(remove_duplicate=False):
            self.parameters[name] = by_identity.setdefault(id(p), self.parameters[name])
        self.buffers = {
            name: b.detach().clone()
            for name, b in self.network.named_buffers(remove_duplicate=False)
            if name != "assignment"
        }

    def _name(self, plain_name: str, column: list[int], task: int) -> str:
        """Name the place where the network keeps the plain model's ``plain_name``, on this path."""
        for number, layer in enumerate(self.network.backbone.class_layers):
            if plain_name.startswith(layer + "."):
                return f"heads.{task}.{number}.{plain_name[len(layer) + 1 :]}"
        for unit, places in enumerate(self.network.backbone.places):
            for place in places:
                for prefix in place.names:
                    if plain_name.startswith(prefix + "."):
                        rest = plain_name[len(prefix) + 1 :]
                        return f"model.{prefix}.copies.{column[unit]}.{rest}"
        return f"model.{plain_name}"

    def tensors(self, column: list[int], task: int, prefix: str = "") -> dict[str, Tensor]:
        """Return tensors of one path by the plain model's names (within ``prefix``)."""
        module = self.plain.get_submodule(prefix) if prefix else self.plain
        start = f"{prefix}." if prefix else ""
        found: dict[str, Tensor] = {}
        for name, _ in module.named_parameters(remove_duplicate=False):
            found[name] = self.parameters[self._name(start + name, column, task)]
        for name, plain in module.named_buffers(remove_duplicate=False):
            buffer = self.buffers[self._name(start + name, column, task)]
            found[name] = buffer[task] if buffer.shape != plain.shape else buffer
        return found

    def step(
        self,
        batch: Batch,
        assignments: Tensor,
        weights: Tensor | None = None,
        training: bool = True,
    ) -> Outcome:
        """Return losses of columns, gradients of the sum of weights * losses, and new buffers."""
        self.plain.train(training)
        samples, _, tasks = assignments.shape
        if weights is None:
            weights = torch.full((samples, tasks), 1 / (samples * tasks), dtype=torch.float64)
        losses = torch.zeros(samples, tasks, dtype=torch.float64)
        once = CountOnce(self.network, self.plain) if batch.common_input else None
        pooled = training and self.network.backbone.normalization == "pooled"
        for s in range(samples):
            if pooled:
                features = self._together(batch, assignments[s])
            for t in range(tasks):
                if (mask := labels(batch, t)) is not None and not mask.any():
                    continue  # nothing to learn for this task: as if it were not there
                if not pooled:
                    with nullcontext() if once is None else once.watching(assignments[s, :, t]):
                        feature = self._features(batch.inputs[t], assignments[s, :, t].tolist(), t)
                else:
                    feature = features[t]
                outputs = self._outputs(feature, t)
                objective, targets = self.network.tasks[t].objective, batch.targets[t]
                if (mask := labels(batch, t)) is not None:
                    outputs, targets = outputs[mask], targets[mask]
                loss = objective.losses(outputs, targets).mean()
                if training:
                    loss = loss + self._auxiliary_loss(feature, t, mask, targets)
                losses[s, t] = loss.detach()
                if training:
                    torch.autograd.backward(loss * weights[s, t], retain_graph=pooled)
        gradients = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        return Outcome(losses, gradients, self.buffers)

    def _features(self, inputs: Tensor, column: list[int], task: int) -> Any:
        """Return what the head of a task reads, from one run of the plain model on one path.

        Where the networks make maps, everything is a run of timm's ``forward_intermediates``.
        """
        path = self.tensors(column, task)
        network = self.network
        if not any(network.maps):
            return functional_call(self.plain, path, inputs)
        indices = [each.index for each in next(maps for maps in network.maps if maps)]
        whole = not all(network.maps)
        named = {f"plain.{name}": tensor for name, tensor in path.items()}
        maps, feature = functional_call(_Pyramid(self.plain, indices, whole), named, inputs)
        return maps if network.maps[task] else feature

    def _outputs(self, feature: Any, task: int) -> Tensor:
        """Return what a task's head makes of what it reads."""
        prefix = f"heads.{task}."
        own = {n[len(prefix) :]: p for n, p in self.parameters.items() if n.startswith(prefix)}
        if self.network.maps[task]:
            head = self.network.heads[task]
            outputs: Tensor = functional_call(head, own, feature)
            return outputs
        if self.network.backbone.heads_inside:
            outputs = feature  # the model itself has used the task's class layers
            return outputs
        outputs = feature @ own["weight"].T + own["bias"]
        return outputs

    def _auxiliary_loss(
        self, feature: Any, task: int, mask: Tensor | None, targets: Tensor
    ) -> Tensor | float:
        """Return the weighted loss of a task's auxiliary head, 0 where it has none."""
        head: Any = self.network.heads[task]
        auxiliary = getattr(head, "auxiliary", None)
        if auxiliary is None:
            return 0.0
        prefix = f"heads.{task}.auxiliary."
        own = {n[len(prefix) :]: p for n, p in self.parameters.items() if n.startswith(prefix)}
        outputs = functional_call(auxiliary, own, feature[:-1])
        size = tuple(self.network.backbone.input_shape[-2:])
        outputs = nn.functional.interpolate(outputs, size, mode="bilinear", align_corners=False)
        outputs = outputs if mask is None else outputs[mask]
        losses: Tensor = self.network.tasks[task].objective.losses(outputs, targets)
        return losses.mean() * float(head.loss_weight)

    def _together(self, batch: Batch, assignment: Tensor) -> list[Any]:
        """Move all tasks of one sample through the chain of stages together (pooled statistics)."""
        maps: list[list[Tensor]] = [[] for _ in batch.inputs]
        ends = map_ends(self.network, self.plain)
        rows: list[Tensor | None] = list(batch.inputs)
        for task in range(len(rows)):
            if (mask := labels(batch, task)) is not None and not mask.any():
                rows[task] = None
        for name, unit, call, prefix in chain(self.network, self.plain):
            used = [0] * len(rows) if unit is None else assignment[unit].tolist()
            after: list[Tensor | None] = [None] * len(rows)
            for k in sorted(set(used)):
                tasks = [t for t, weight in enumerate(used) if weight == k and rows[t] is not None]
                if not tasks:
                    continue
                parts = [row for t in tasks if (row := rows[t]) is not None]
                x = torch.cat(parts)
                if prefix is None:
                    y = call(x)
                else:
                    path = self.tensors(assignment[:, tasks[0]].tolist(), 0, prefix)
                    y = functional_call(self.plain.get_submodule(prefix), path, x)
                for t, part in zip(tasks, torch.split(y, [len(p) for p in parts]), strict=True):
                    after[t] = part
            rows = after
            if name in ends:
                for own, row in zip(maps, rows, strict=True):
                    own.append(torch.empty(0) if row is None else row)
        return [
            own if self.network.maps[t] else row if row is not None else torch.empty(0)
            for t, (own, row) in enumerate(zip(maps, rows, strict=True))
        ]


class _Pyramid(nn.Module):
    """This plain model gives maps, and what its classifier would read."""

    def __init__(self, plain: nn.Module, indices: list[int], whole: bool) -> None:
        super().__init__()
        self.plain, self.indices, self.whole = plain, indices, whole

    def forward(self, inputs: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Run timm's own ``forward_intermediates``."""
        plain: Any = self.plain
        if not self.whole:
            return plain.forward_intermediates(inputs, self.indices, intermediates_only=True), None
        last, maps = plain.forward_intermediates(inputs, self.indices)
        return maps, plain.forward_head(last)


class CountOnce:
    """This undoes what batch norms do to their buffers when they see the same rows again.

    Rows are known by the weights that they have met: (unit, weight) of every place so far.
    """

    def __init__(self, network: TaskNetworks, plain: nn.Module) -> None:
        self.plain = plain
        self.unit_of = {
            plain.get_submodule(place.names[0]): unit
            for unit, places in enumerate(network.backbone.places)
            for place in places
        }
        self.seen: set[tuple[object, ...]] = set()

    @contextmanager
    def watching(self, column: Tensor) -> Iterator[None]:
        """Stand beside all batch norms while the plain model runs a column."""
        met: list[tuple[int, int]] = []
        calls: Counter[int] = Counter()
        held: list[list[tuple[Tensor, Tensor]]] = []

        def enter(place: nn.Module, inputs: Any) -> None:
            met.append((self.unit_of[place], int(column[self.unit_of[place]])))

        def before(norm: nn.Module, inputs: Any) -> None:
            assert isinstance(norm.running_mean, Tensor)
            average = norm.running_mean.data_ptr()
            key = (average, calls[average], *met)
            calls[average] += 1
            held.append([(b, b.clone()) for b in norm.buffers()] if key in self.seen else [])
            self.seen.add(key)

        def after(norm: nn.Module, inputs: Any, output: Tensor) -> None:
            for buffer, value in held.pop():
                buffer.data.copy_(value)  # leaves the version that the backward pass expects

        handles = [place.register_forward_pre_hook(enter) for place in self.unit_of]
        for module in self.plain.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                handles.append(module.register_forward_pre_hook(before))
                handles.append(module.register_forward_hook(after))
        yield
        for handle in handles:
            handle.remove()


def labels(batch: Batch, task: int) -> Tensor | None:
    """Return which rows have a label for a task; ``None``: all."""
    return batch.labelled[task] if batch.labelled else None


def map_ends(network: TaskNetworks, plain: nn.Module) -> list[str]:
    """Return the last modules' names of a sequential model before each of the networks' maps."""
    ends = []
    names = [name for name, *_ in chain(network, plain)]
    for each in next((maps for maps in network.maps if maps), ()):
        about: Any = plain.feature_info
        module = getattr(about, "info", about)[each.index]["module"]
        ends.append([n for n in names if n == module or n.startswith(f"{module}.")][-1])
    return ends


def chain(
    network: TaskNetworks, plain: nn.Module
) -> list[tuple[str, int | None, Callable[[Tensor], Tensor], str | None]]:
    """Return a sequential model as (name, unit or None, parameter-free call, submodule name)."""
    unit_of = {
        name: unit
        for unit, places in enumerate(network.backbone.places)
        for place in places
        for name in place.names
    }
    if hasattr(plain, "layer1"):  # timm's ResNet
        names = ["conv1", "bn1", "act1", "maxpool"]
        names += [
            f"layer{i}.{j}"
            for i in range(1, 5)
            for j in range(len(list(plain.get_submodule(f"layer{i}").children())))
        ]
        names.append("global_pool")
    else:
        names = [name for name, _ in plain.named_children()]
    found: list[tuple[str, int | None, Callable[[Tensor], Tensor], str | None]] = []
    for name in names:
        module = plain.get_submodule(name)
        has_tensors = any(True for _ in module.parameters())
        # a stage of one block is a place itself: the unit of layer1.0 is then that of layer1
        place = name if name in unit_of else name.rpartition(".")[0]
        found.append((name, unit_of.get(place), module, name if has_tensors else None))
    return found
