"""Networks of columns as plain loops: a column at a time, unit by unit, in float64."""

from functools import partial
from typing import Any

import torch
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.sluice import SubspaceMixer, UnitMixer
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from support.cross_stitch import CLOSE, gradients


class Loops:
    """Every column of every input by the plain model, unit by unit, with weights by name."""

    def __init__(self, network: ColumnNetworks, training: bool) -> None:
        self.network, self.training = network, training
        self.earlier: list[tuple[list[Tensor], int]] = []  # of mixed units, and their channels
        self.seen: dict[int, list[tuple[int, Tensor]]] = {}  # by norm: the task, and what it reads

    def run(self, inputs: Tensor, reads: list[int]) -> list[Tensor]:
        """Features of all columns for one task's input.

        Args:
            inputs: of the task.
            reads: for each column the task whose running averages it has.
        """
        network = self.network
        units = len(network.backbone.units)
        models = []
        for column, reader in enumerate(reads):
            model = network.extract_path(reader, [column] * units).train(self.training)
            if not network.backbone.heads_inside:
                model.set_submodule(network.backbone.classifier, nn.Identity())
            self._bind(model, column)
            models.append(model)
        waiting: list[Tensor] = [inputs] * len(models)
        return self._lockstep(models, waiting, reads)

    def _bind(self, model: nn.Module, column: int) -> None:
        """Put the networks' own parameters into the plain model, so that gradients reach them."""
        own = dict(self.network.named_parameters(remove_duplicate=False))
        for name, _ in list(model.named_parameters()):
            found = self._name(name, column)
            parent, _, last = name.rpartition(".")
            model.get_submodule(parent)._parameters[last] = own[found]

    def _name(self, name: str, column: int) -> str:
        for places in self.network.backbone.places:
            for place in places:
                if name.startswith(place.names[0] + "."):
                    rest = name[len(place.names[0]) + 1 :]
                    return f"model.{place.names[0]}.copies.{column}.{rest}"
        return f"model.{name}"

    def _lockstep(
        self, models: list[nn.Module], inputs: list[Tensor], reads: list[int]
    ) -> list[Tensor]:
        """Run the models again and again: the u-th time what enters after unit u is known."""
        known: dict[int, list[Tensor]] = {}
        mixers = {int(unit): mixer for unit, mixer in self.network.mixers.items()}
        for unit in [*sorted(mixers), None]:
            outputs: list[list[Tensor]] = [[] for _ in models]
            finals = []
            for column, (model, x) in enumerate(zip(models, inputs, strict=True)):
                handles = []
                for done, values in known.items():
                    handles.append(
                        self._last(model, done).register_forward_hook(
                            lambda m, a, y, v=values[column]: v
                        )
                    )
                if unit is not None:

                    def keep(m: Any, a: Any, y: Tensor, found: Any = outputs[column]) -> None:
                        found.append(y)

                    handles.append(self._last(model, unit).register_forward_hook(keep))
                finals.append(model(x))
                for handle in handles:
                    handle.remove()
            if unit is None:
                return finals
            known[unit] = self.mixed(unit, mixers[unit], [each[0] for each in outputs], reads)
        raise AssertionError

    def _last(self, model: nn.Module, unit: int) -> nn.Module:
        return model.get_submodule(self.network.backbone.places[unit][-1].names[0])

    def step(self, batch: Batch) -> Tensor:
        """Mean losses of all tasks; leaves gradients of their mean on the parameters."""
        tasks = len(self.network.tasks)
        losses = []
        for task in range(tasks):
            reads = list(range(tasks)) if self.network.each_its_own else [task] * tasks
            column = 0 if self.network.all_read_first else task
            features = self.run(batch.inputs[task], reads)[column]
            scores = self.network.heads[task](features)
            objective = self.network.tasks[task].objective
            losses.append(objective.losses(scores, batch.targets[task]).mean())
        found = torch.stack(losses)
        if self.training:
            found.mean().backward()
        return found.detach()

    def mixed(
        self, unit: int, mixer: nn.Module, outputs: list[Tensor], reads: list[int]
    ) -> list[Tensor]:
        """What every column goes on with, channel by channel where weights are."""
        weight = mixer.get_parameter("weight")
        at = self.network.backbone.units[unit].channel_dim + 1
        if isinstance(mixer, SubspaceMixer):
            return self._sluiced(mixer, outputs, at)
        columns = []
        for t in range(len(outputs)):
            total = torch.zeros_like(outputs[0])
            for j, x in enumerate(outputs):
                if weight.ndim == 2:
                    total = total + weight[t, j] * x
                elif weight.ndim == 3:
                    shape = [1] * x.ndim
                    shape[at] = -1
                    total = total + weight[t, j].view(shape) * x
                else:
                    total = total + (x.movedim(at, -1) @ weight[t, :, j].T).movedim(-1, at)
            behind = getattr(mixer, "behind", ())
            columns.append(self._behind(behind[t], total, at, reads[t]) if behind else total)
        return columns

    def _sluiced(self, mixer: SubspaceMixer, outputs: list[Tensor], at: int) -> list[Tensor]:
        """Subspaces one by one; behind the last unit, what the column had behind each."""
        count = len(mixer.weight) // len(outputs)
        parts = [part for x in outputs for part in x.chunk(count, at)]
        sums = []
        for row in mixer.weight:
            total = torch.zeros_like(parts[0])
            for weight, part in zip(row, parts, strict=True):
                total = total + weight * part
            sums.append(total)
        columns = [torch.cat(sums[t * count : (t + 1) * count], at) for t in range(len(outputs))]
        if not isinstance(mixer, UnitMixer):
            self.earlier.append((columns, at))
            return columns
        mixed = []
        for t, own in enumerate(columns):
            total = mixer.layers[t, -1] * own
            for number, (earlier, dim) in enumerate(self.earlier):
                x = earlier[t]
                if str(number) in mixer.projections:
                    x = self._pooled(x.movedim(dim, -1), own.movedim(at, -1))
                    x = (x @ mixer.projections[str(number)][t].T).movedim(-1, at)
                total = total + mixer.layers[t, number] * x
            mixed.append(total)
        self.earlier = []
        return mixed

    def _pooled(self, x: Tensor, like: Tensor) -> Tensor:
        """Means of as many equal parts of the positions as ``like`` has, channels last."""
        if x.ndim != like.ndim:
            return x.flatten(1, -2).mean(1)
        for dim in range(1, x.ndim - 1):
            x = x.unflatten(dim, (like.shape[dim], -1)).mean(dim + 1)
        return x

    def _behind(self, layer: Any, x: Tensor, at: int, reader: int) -> Tensor:
        """Batch norm and ReLU of one column, by their definitions."""
        if layer.norm is not None:
            rows = x.movedim(at, -1).flatten(0, -2)  # (positions, channels)
            mean, var = rows.mean(0), rows.var(0, correction=0)
            if not self.training:
                own = layer.norm.mode == "task"
                mean = layer.norm.running_mean[reader] if own else layer.norm.running_mean
                var = layer.norm.running_var[reader] if own else layer.norm.running_var
            y = (x.movedim(at, -1) - mean) / (var + layer.norm.eps).sqrt()
            x = (y * layer.norm.weight + layer.norm.bias).movedim(-1, at)
            self.seen.setdefault(id(layer.norm), []).append((reader, rows.detach()))
        return x.clamp(min=0) if layer.rectified else x


def compare(network: ColumnNetworks, batch: Batch, training: bool = True) -> None:
    network.train(training)
    expected = Loops(network, training).step(batch)
    if not training:
        with torch.no_grad():
            for task, task_inputs in enumerate(batch.inputs):
                scores = network.predict(task, task_inputs)
                objective = network.tasks[task].objective
                found = objective.losses(scores, batch.targets[task]).mean()
                torch.testing.assert_close(found, expected[task], **CLOSE)
        return
    wanted = gradients(network)
    network.zero_grad()
    torch.testing.assert_close(network.step(batch), expected, **CLOSE)
    ours = gradients(network)
    assert {name for name, g in wanted.items() if g.any()} <= set(ours)
    for name, gradient in ours.items():
        other = wanted.get(name, torch.zeros_like(gradient))
        torch.testing.assert_close(gradient, other, **CLOSE, msg=partial("{}: {}".format, name))
