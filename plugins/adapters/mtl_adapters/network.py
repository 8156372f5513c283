"""Networks of tasks consist of one trunk and, beside its layers, adapters to choose among."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mtl_framework import (
    AdaptedLayer,
    Backbone,
    MtlError,
    ParameterCounts,
    TaskNetworks,
    TrainedRun,
)
from mtl_framework.data import Suite

from .behind import norms_behind
from .layers import Series
from .preparing import Preparing, adapted_layers, is_norm

Load = Callable[[str], TrainedRun]


class AdapterNetworks(TaskNetworks):
    """Tasks choose among the adapters of a unit, while all use the layers that these stand beside.

    The k-th copy of a unit is the trunk's unit with the k-th adapters, and with norms of its own
    where ``config.own_norms`` says so. Layers outside the units belong to the trunk, heads do not.

    Args:
        backbone: the backbone whose layers are the trunk.
        suite: the suite whose tasks get networks.
        weights_per_unit: number of adapters of every unit.
        preparing: the object that makes the copies of a unit.
        frozen: whether the trunk's weights and running averages stay as they start.

    Raises:
        MtlError: if an adapter does not fit its layer.
    """

    def __init__(
        self,
        backbone: Backbone,
        suite: Suite,
        weights_per_unit: Sequence[int],
        preparing: Preparing,
        frozen: bool,
    ) -> None:
        super().__init__(backbone, suite.tasks, weights_per_unit, prepare=preparing)
        self.own_norms, self.frozen = preparing.config.own_norms, frozen
        series = preparing.config.kind == "series"
        layers = [name for own in preparing.chosen for name in sorted(own)]
        self.behind = norms_behind(backbone, layers) if series else {}
        self._held: list[nn.Module] = []
        if frozen:
            trunk = set(self.trunk_parameters())
            for parameter in trunk:
                parameter.requires_grad_(False)
            self._held = [
                module
                for module in self.model.modules()
                if hasattr(module, "running_mean") and not set(module.parameters()) - trunk
            ]

    def adapters(self) -> list[nn.Parameter]:
        """Return the matrices of all adapters, without the weights of their norms."""
        return [
            parameter
            for layer in adapted_layers(self.model).values()
            for parameter in layer.parameters(recurse=False)
        ]

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that belong to no adapter, no head and no adapter's own norm."""
        own = {p for task in range(len(self.tasks)) for p in self.head_parameters(task)}
        for layer in adapted_layers(self.model).values():
            own |= set(layer.parameters()) - set(layer.layer.parameters())
        if self.own_norms:
            for bank in self.banks():
                norms = [module for module in bank.modules() if is_norm(module)]
                own |= {parameter for norm in norms for parameter in norm.parameters()}
        return [parameter for parameter in self.model.parameters() if parameter not in own]

    def train(self, mode: bool = True) -> "AdapterNetworks":
        """Switch between training and evaluation; a frozen trunk's norms stay in evaluation."""
        super().train(mode)
        for module in self._held:
            module.__dict__["training"] = False
        return self

    def extract_path(self, task: int, weights: Sequence[int]) -> nn.Module:
        """Return a plain model into whose layers one task's adapters are merged.

        Args:
            task: position of the task.
            weights: number of the task's adapters at every unit.
        """
        network = super().extract_path(task, weights)
        model = network.get_submodule("model") if self.maps[task] else network
        with torch.no_grad():
            for name, layer in self._on_path(weights):
                norm = self.behind.get(name)
                if isinstance(layer, Series) and layer.layer.bias is None and norm is not None:
                    model.get_buffer(f"{norm}.running_mean").sub_(layer.shift(task).cpu())
        return network

    def _on_path(self, weights: Sequence[int]) -> Iterator[tuple[str, AdaptedLayer]]:
        """Yield the adapted layers of a path, each with the name that it has in the plain model."""
        places = [place for places in self.backbone.places for place in places]
        for bank, place in zip(self.banks(), places, strict=True):
            start = place.names[0]
            for name, layer in adapted_layers(bank.copies[weights[bank.unit]]).items():
                yield (f"{start}.{name}" if name else start), layer

    def parameter_counts(self) -> ParameterCounts:
        """Count the parameters that are trained, and those that the tasks' networks use."""
        learn = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return ParameterCounts(learn, super().parameter_counts().deployed)

    def load_trunk(self, folder: str, task: str | None, load: Load) -> None:
        """Take the trunk, and the norms that adapters start with, from a network of another run.

        Args:
            folder: folder of the other run.
            task: name of the task whose network is taken; ``None`` takes that of the run's first
                task, if the networks of its tasks differ in norms and heads only.
            load: function that loads the run in a folder.

        Raises:
            MtlError: if the run has no such task, if its backbone is another one, or if its
                networks differ and no task is named; nothing has changed then.
        """
        run = load(folder)
        names = run.suite.task_names
        if task is not None and task not in names:
            raise MtlError(
                f"strategy.start_task: {folder} has no task {task!r}, it has {', '.join(names)}"
            )
        taken = range(len(names)) if task is None else [names.index(task)]
        theirs, ours = run.backbone.recipe, self.backbone.recipe
        if (theirs.name, theirs.surgery) != (ours.name, ours.surgery):
            raise MtlError(
                f"strategy.start_from: {folder} has networks of {theirs.name}, which are not like "
                f"the trunk of this run ({ours.name})"
            )
        states = [self._plain_state(run.network.extract(number), folder) for number in taken]
        self._check_alike(states, folder)
        for number in range(len(self.tasks)):
            for weight in range(max(self.weights_per_unit)):
                path = [min(weight, count - 1) for count in self.weights_per_unit]
                self.load_path(number, path, states[0], head=False)

    def _plain_state(self, network: nn.Module, folder: str) -> dict[str, Tensor]:
        """Return the tensors of the plain model that a task's network is, or has inside for maps.

        Raises:
            MtlError: if it is none: columns that mix, or a mixture of layers.
        """
        with torch.random.fork_rng(devices=[]):
            model = self.backbone.recipe.create(2, pretrained=False)
        heads = tuple(f"{layer}." for layer in self.backbone.class_layers)
        plain = {name for name in model.state_dict() if not name.startswith(heads)}
        state = network.state_dict()
        for where in ("", "model."):  # the latter in a network for maps, beside a decoder
            inside = {n.removeprefix(where): t for n, t in state.items() if n.startswith(where)}
            alone = all(n.startswith((where, "head.")) for n in state)
            if alone and {n for n in inside if not n.startswith(heads)} == plain:
                return inside
        raise MtlError(
            f"strategy.start_from: the networks of {folder} are no plain models of "
            f"{self.backbone.recipe.name}, as a trunk is; take a run whose tasks have such "
            "networks, for example one of full_sharing"
        )

    def _check_alike(self, states: Sequence[Mapping[str, Tensor]], folder: str) -> None:
        """Refuse networks that differ in more than norms and heads."""
        with torch.random.fork_rng(devices=[]):
            model = self.backbone.recipe.create(2, pretrained=False)
        norms = [f"{n}." for n, m in model.named_modules() if is_norm(m)]
        own = tuple(norms + [f"{layer}." for layer in self.backbone.class_layers])
        for name, tensor in states[0].items():
            if name.startswith(own):
                continue
            if any(not torch.equal(state[name], tensor) for state in states[1:]):
                raise MtlError(
                    f"strategy.start_task should say whose network of {folder} becomes the trunk: "
                    f"{name} differs between its tasks"
                )
