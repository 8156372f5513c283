"""The large weights of networks of any kind are generated from one set of hypermodules."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from mtl_framework import MtlError, ParameterCounts, PlainBackbone, stateless
from mtl_framework.data import Batch, Task

from ..search.candidates import SearchedNetworks
from ..speed.alike import Team, find_teams
from ..speed.bags import Choice
from ..speed.materialise import CompactBlocks, compact, count_compact
from .decomposition import split_blocks
from .hypermodules import Hypermodules
from .weights import GeneratedWeight, Indivisible, check_patterns, find_weights, layers_of

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Decomposition:
    """A decomposition says how networks become blocks, and how blocks are generated.

    Args:
        block_out: m, number of output units of a block.
        block_in: n, number of input units of a block.
        context_size: c, number of components of a context; 0: a block is its module.
        gain: variance of a hypermodule's entries times c.
        library: whether networks start as the library starts them (or pretrained), not by He's
            rule.
        indivisible: what happens to weights that the blocks do not divide.
        layers: names or globs of the layers that take part; ``None``: all but first and last.
        parts: what is searched together, as one of D parts: each location, task, or everything.
        candidates: 1 + lambda, the number of candidates of a location, its incumbent among them.
        fitted: whether contexts are fitted to challengers, instead of being the same for all
            candidates of a location (equation 8).
    """

    block_out: int = 16
    block_in: int = 16
    context_size: int = 4
    gain: float = 2.0
    library: bool = False
    indivisible: Indivisible = "error"
    layers: tuple[str, ...] | None = None
    parts: Literal["location", "task", "all"] = "location"
    candidates: int = 2
    fitted: bool = False


class GeneratedNetworks(SearchedNetworks):
    """Each task has a network of any architecture; their large weights are generated together.

    All blocks of all networks come from one batched product; then networks run one after the other
    (those that are alike and small, together). What is not generated stays an ordinary parameter of
    its network.

    Attributes:
        generated: the generated weights of every task's network.
        spans: first and behind-last location of every task.
        hypermodules: the hypermodules that generate them.

    Args:
        backbones: the backbones, one for each task.
        tasks: the tasks whose networks these are.
        how: the decomposition: block size, contexts, what takes part.

    Raises:
        MtlError: if a network has no weight that can be generated, or blocks do not divide one.
        UnknownNameError: if a pattern of ``how.layers`` fits no layer.
    """

    def __init__(
        self, backbones: Sequence[PlainBackbone], tasks: Sequence[Task], how: Decomposition
    ) -> None:
        super().__init__(backbones, tasks)
        self.how = how
        if how.layers is not None:
            self._check_layers(how.layers)
        self.generated = tuple(self._find(task) for task in range(len(self.tasks)))
        counts = [[weight.grid.count for weight in weights] for weights in self.generated]
        ends = torch.tensor([0, *map(sum, counts)]).cumsum(0).tolist()
        self.spans = tuple(pairwise(ends))
        sigma = [w.deviation for w in chain(*self.generated) for _ in range(w.grid.count)]
        block = (how.block_out, how.block_in)
        self.hypermodules = Hypermodules(sigma, block, how.context_size, how.gain)
        if how.library or any(backbone.recipe.pretrained for backbone in self.backbones):
            self.hypermodules.start_at(self._own_blocks())
        self._lstms = tuple(self._remove_weights(task) for task in range(len(self.tasks)))
        self._open_search(self._parts(how.parts), how.candidates, how.fitted)
        self.teams = find_teams(self.networks, self.backbones, self.tasks, self.generated)
        self._in_use: list[Weights] | None = None
        self._cached: tuple[object, list[Weights]] = (None, [])
        self._laid_out: tuple[object, Choice | None] = (None, None)

    # -- building ------------------------------------------------------------------------------

    def _trial(self, task: int) -> tuple[nn.Module, Tensor]:
        """Make a copy of a task's network to be run, and inputs for it."""
        backbone = self.backbones[task]
        trial = copy.deepcopy(self.networks[task]).eval()
        dtype = next((p.dtype for p in trial.parameters()), torch.float32)
        whole = not backbone.input_dtype.is_floating_point
        inputs = torch.zeros(
            2, *backbone.input_shape, dtype=backbone.input_dtype if whole else dtype
        )
        return trial, inputs

    def _check_layers(self, patterns: Sequence[str]) -> None:
        every = range(len(self.tasks))
        names = [layers_of(*self._trial(task), self.backbones[task].name) for task in every]
        check_patterns(patterns, tuple(chain(*names)))

    def _find(self, task: int) -> tuple[GeneratedWeight, ...]:
        backbone, how = self.backbones[task], self.how
        return find_weights(
            *self._trial(task),
            self.tasks[task].objective.num_outputs,
            (how.block_out, how.block_in),
            indivisible=how.indivisible,
            layers=how.layers,
            class_layers=getattr(backbone, "class_layers", ()),
            library=how.library or backbone.recipe.pretrained,
            name=backbone.name,
        )

    def _own_blocks(self) -> Tensor:
        """Return the blocks of the weights that the networks were made with."""
        with torch.no_grad():
            return torch.cat(
                [
                    weight.grid.unpack(network.get_parameter(weight.name).detach())
                    for network, weights in zip(self.networks, self.generated, strict=True)
                    for weight in weights
                ]
            )

    def _parts(self, kind: Literal["location", "task", "all"]) -> Int64[Tensor, " locations"]:
        """Return the part that each location belongs to."""
        locations = torch.arange(len(self.hypermodules))
        if kind == "location":
            return locations
        if kind == "all":
            return torch.zeros_like(locations)
        lengths = torch.tensor([end - start for start, end in self.spans])
        return torch.arange(len(self.tasks)).repeat_interleave(lengths)

    def _remove_weights(self, task: int) -> tuple[str, ...]:
        """Leave places for generated weights; return names of the LSTMs among their layers."""
        network, lstms = self.networks[task], []
        for weight in self.generated[task]:
            layer = network.get_submodule(weight.layer)
            delattr(layer, weight.name.rpartition(".")[2])
            if isinstance(layer, nn.RNNBase):
                layer._init_flat_weights()
                lstms.append(weight.layer)
        return tuple(dict.fromkeys(lstms))

    # -- blocks --------------------------------------------------------------------------------

    def blocks(self) -> Float[Tensor, "locations m n"]:
        """Generate all blocks as they stand, challengers merged in; differentiable."""
        if torch.is_grad_enabled():
            self.forget()
        probabilities = self.probabilities()[self.parts]
        blocks: Tensor = self.hypermodules(self._choice(), probabilities, self.maps)
        return blocks

    def forget(self) -> None:
        """Generate weights anew for the next prediction.

        It has to be called after a step of a fused optimiser, which does not leave a trace on what
        it changes; everything else is noticed.
        """
        self._cached = None, []

    def _choice(self) -> Choice:
        key = (self.candidates.device, self.candidates._version, self.challenged._version)
        known, choice = self._laid_out
        if choice is None or known != key:
            choice = Choice(
                self.candidates,
                self.challenged[self.parts],
                self.hypermodules.context_size,
                len(self.hypermodules.hypermodules),
            )
            self._laid_out = key, choice
        return choice

    def _weights(self, blocks: Tensor, task: int) -> Weights:
        """Make one network's weight tensors of its own blocks."""
        weights = self.generated[task]
        tensors = split_blocks(blocks, tuple(weight.grid for weight in weights))
        return {weight.name: tensor for weight, tensor in zip(weights, tensors, strict=True)}

    def _all_weights(self, blocks: Tensor) -> list[Weights]:
        return [self._weights(blocks[slice(*span)], t) for t, span in enumerate(self.spans)]

    def _current_weights(self) -> list[Weights]:
        if self._in_use is not None:
            return self._in_use
        if torch.is_grad_enabled():
            return self._all_weights(self.blocks())
        sources = (
            self.hypermodules.hypermodules, self.hypermodules.contexts, self.logits,
            self.candidates, self.challenged,
        )  # fmt: skip
        key = [(tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in sources]
        if self._cached[0] != key:
            self._cached = key, self._all_weights(self.blocks())
        return self._cached[1]

    # -- running -------------------------------------------------------------------------------

    def losses(self, batch: Batch) -> Float[Tensor, " tasks"]:
        """Return the mean loss of every task's labelled examples, differentiable; 0 without any."""
        with self._using(self._all_weights(self.blocks())):
            return super().losses(batch)

    def accumulate_gradients(
        self, batch: Batch, weights: Float[Tensor, " tasks"] | None = None
    ) -> Float[Tensor, " tasks"]:
        """Add the gradients of sum(weights * losses), task by task.

        Blocks are generated once and their own backward pass runs once, whatever the number of
        tasks. With several processes the parameters' gradients are averaged over them.

        Args:
            batch: examples of every task.
            weights: weights of the losses; default: 1 for each, for the sum.

        Returns:
            the losses, detached.
        """
        with self.averaged_gradients():
            losses = self._accumulate(batch, weights)
        return self.averaged_losses(batch, losses)

    def _accumulate(self, batch: Batch, weights: Float[Tensor, " tasks"] | None) -> Tensor:
        blocks = self.blocks()
        values = blocks.detach()
        gradient = torch.zeros_like(values)
        losses = values.new_zeros(len(self.tasks))
        for team in self.teams:
            # a task's backward pass must not touch the blocks of all others
            first, last = self.spans[team.first][0], self.spans[team.last - 1][1]
            own = values[first:last].detach().requires_grad_()
            team_losses = self._team_losses(team, own, batch)
            if team_losses.requires_grad:
                total = (
                    team_losses
                    if weights is None
                    else team_losses * weights[team.first : team.last]
                )
                torch.autograd.backward(total.sum())
                if own.grad is not None:
                    gradient[first:last] = own.grad
            losses[team.first : team.last] = team_losses.detach()
        torch.autograd.backward(blocks, gradient)
        return losses

    def _team_losses(self, team: Team, blocks: Tensor, batch: Batch) -> Tensor:
        if team.together and team.fits(batch) and self.precision == "fp32":
            return team.losses(blocks, batch)
        start = self.spans[team.first][0]
        in_use: list[Weights] = [{} for _ in self.tasks]
        for task in range(team.first, team.last):
            begin, end = self.spans[task]
            in_use[task] = self._weights(blocks[begin - start : end - start], task)
        with self._using(in_use):
            return torch.stack([self.loss(batch, t) for t in range(team.first, team.last)])

    @contextmanager
    def _using(self, weights: list[Weights]) -> Iterator[None]:
        self._in_use = weights
        try:
            yield
        finally:
            self._in_use = None

    def predict(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows *outputs"]:
        """Return outputs of one task's network as it stands, challengers merged in, full precision.

        Without gradients, weights are generated anew only after something has changed.
        """
        weights = self._current_weights()[task]
        network = self.networks[task]
        try:
            return self.in_full_precision(
                lambda found: functional_call(network, weights, (found,)), inputs
            )
        finally:
            # LSTMs list their weights a second time, and would keep the generated ones alive
            for name in self._lstms[task]:
                network.get_submodule(name)._init_flat_weights()  # type: ignore[operator]

    # -- afterwards ----------------------------------------------------------------------------

    def extract(self, task: int) -> nn.Module:
        """Return a task's network as an ordinary one, of the class and size it always had.

        Recurrent modules in it begin every call anew, unless ``stateful`` is set.
        """
        backbone, network = self.backbones[task], self.networks[task]
        with torch.random.fork_rng(devices=[]):
            model = backbone.recipe.create(self.tasks[task].objective.num_outputs, False)
        with torch.no_grad():
            state = {**network.state_dict(), **self._current_weights()[task]}
        model.to(self.hypermodules.hypermodules.dtype)
        model.load_state_dict({key: value.detach().cpu() for key, value in state.items()})
        return stateless(model).eval()

    def compact(self) -> CompactBlocks:
        """Return the blocks of the present mapping in as few numbers as they need.

        Raises:
            MtlError: if challengers are merged in, so that there is no mapping alone.
        """
        if bool(self.challenged.any()):
            raise MtlError("blocks can be made compact at the end of a generation only")
        with torch.no_grad():
            return compact(self.hypermodules, self.mapping, self.blocks())

    def sharing(self) -> None:
        """Return ``None``: blocks are shared, not whole units; see the figures of the plugin."""

    def parameter_counts(self) -> ParameterCounts:
        """Count all of training without soft weights, and what :meth:`compact` keeps afterwards."""
        ordinary = sum(p.numel() for p in self.networks.parameters())
        held = sum(p.numel() for p in self.hypermodules.parameters())
        block = (self.how.block_out, self.how.block_in)
        kept = count_compact(self.mapping, self.how.context_size, block)
        return ParameterCounts(ordinary + held, ordinary + kept)
