"""Columns are paths whose rows are mixed between units; one network holds all of them."""

from collections.abc import Mapping, Sequence
from threading import local
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..backbones.backbone import Backbone
from ..routing.banks import Ports, plain_attribute
from ..routing.mixing import behind_of, reads_of
from ..support.errors import MtlError
from .dense import DenseNetwork
from .mixers import plain_mixer


class _Running(local):
    """What columns went on with behind units that a later mixer reads, by number of the unit.

    Every run of a network has its own, in every thread. It is no attribute of the network's
    modules: torch puts attributes that are dictionaries back as they were once it has traced them,
    as copies, so that modules would no longer have one in common.
    """

    def __init__(self) -> None:
        self.earlier: dict[int, Tensor] = {}


_running = _Running()


class ColumnNetwork(nn.Module):
    """Plain models run side by side, and their rows are mixed after some units.

    It computes what :class:`TaskNetworks` with mixers computes for one task: it holds every model's
    units up to the last mixer, and only the kept model's behind it, whose output it returns. It is
    made of plain torch operations, so that it can be exported.

    Args:
        backbone: the backbone of all models.
        columns: the plain models, one a column; their parts are used, not copied.
        mixers: by unit, the module that mixes the columns behind it; copied. See
            :class:`TaskNetworks`.
        kept: the column whose output is returned.
        readers: for each column the task whose running averages the norms of mixers get; default:
            the column's own number.

    Attributes:
        num_columns: number of columns that are run for one output; printed, with the parameters, by
            ``repr``.

    Raises:
        MtlError: if the models differ in what they have in common: all outside the units.
    """

    def __init__(
        self,
        backbone: Backbone,
        columns: Sequence[nn.Module],
        mixers: Mapping[int, nn.Module],
        kept: int,
        readers: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.model = columns[kept]
        readers = range(len(columns)) if readers is None else readers
        plain = {unit: plain_mixer(mixer, readers) for unit, mixer in mixers.items()}
        read = {unit for mixer in plain.values() for unit in reads_of(mixer)}
        columns = [c.model if isinstance(c, DenseNetwork) else c for c in columns]
        _check_common(backbone, columns, kept)
        self.kept, self.num_columns = kept, len(columns)
        last = max(mixers)
        for unit, places in enumerate(backbone.places[: last + 1]):
            for position, place in enumerate(places):
                ends = position == len(places) - 1
                module = _Place(
                    [column.get_submodule(place.names[0]) for column in columns],
                    backbone.ports[place.names[0]],
                    begins=unit == position == 0,
                    mixer=plain.get(unit) if ends else None,
                    kept=kept if ends and unit == last else None,
                    keeps=unit if unit in read else None,
                )
                for name in place.names:
                    columns[kept].set_submodule(name, module)
        if isinstance(self.model, DenseNetwork):
            self.model.mixed = len(columns), kept

    def extra_repr(self) -> str:
        """Show in ``repr`` what one task's output costs."""
        count = sum(p.numel() for p in self.parameters())
        return f"kept={self.kept}, columns={self.num_columns}, parameters={count:,}"

    def forward(self, inputs: Shaped[Tensor, "rows *dims"]) -> Float[Tensor, "rows *outputs"]:
        """Compute the outputs of the kept column."""
        outside, _running.earlier = _running.earlier, {}
        try:
            outputs: Tensor = self.model(inputs)
        finally:
            _running.earlier = outside
        return outputs


class _Place(nn.Module):
    """A place holds the same place of every column; rows lie column by column.

    The first one reads the rows of the inputs and returns those of the columns, the last one
    returns only the rows of the column that is ``kept``. What a later mixer reads is handed on,
    under the number of the unit ``keeps``, until the network has run.
    """

    def __init__(
        self,
        columns: Sequence[nn.Module],
        ports: Sequence[Ports],
        begins: bool,
        mixer: nn.Module | None,
        kept: int | None,
        keeps: int | None,
    ) -> None:
        super().__init__()
        self.columns = nn.ModuleList(columns)
        self.mixer = mixer
        self._per_example = ports[0].inputs, ports[0].outputs
        self._begins, self._kept, self._keeps = begins, kept, keeps

    def __getattr__(self, name: str) -> Any:
        """Return plain attributes that a model reads from its blocks from the first column."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            columns: Any = super().__getattr__("columns")
            return plain_attribute(columns[0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run every column on its own rows, then the mixer."""
        leaves, spec = pytree.tree_flatten((args, kwargs))
        reads, writes = self._per_example
        results = []
        for number, column in enumerate(self.columns):
            own = [
                leaf if per_example is None or self._begins else self._part(leaf, number)
                for leaf, per_example in zip(leaves, reads, strict=True)
            ]
            own_args, own_kwargs = pytree.tree_unflatten(own, spec)
            results.append(pytree.tree_flatten(column(*own_args, **own_kwargs)))
        merged = [
            parts[0] if per_example is None else self._merged(parts)
            for per_example, *parts in zip(writes, *(leaves for leaves, _ in results), strict=True)
        ]
        return pytree.tree_unflatten(merged, results[0][1])

    def _part(self, x: Tensor, column: int) -> Tensor:
        return torch.unflatten(x, 0, (len(self.columns), -1))[column]

    def _merged(self, parts: Sequence[Tensor]) -> Tensor:
        if self.mixer is None:
            return torch.cat(list(parts))
        earlier = [_running.earlier[unit][None] for unit in reads_of(self.mixer)]
        mixed: Tensor = self.mixer(torch.stack(list(parts))[None], *earlier)[0]
        behind = behind_of(self.mixer)
        if self._kept is not None:
            own: Tensor = mixed[self._kept]
            return behind[self._kept](own) if behind else own
        if behind:
            mixed = torch.stack([layer(own) for layer, own in zip(behind, mixed, strict=True)])
        if self._keeps is not None:
            _running.earlier[self._keeps] = mixed
        return mixed.flatten(0, 1)


def _check_common(backbone: Backbone, columns: Sequence[nn.Module], kept: int) -> None:
    """Refuse models that differ outside units and class layers."""
    names = [name for places in backbone.places for place in places for name in place.names]
    own = tuple(f"{name}." for name in [*names, *backbone.class_layers])
    states = [column.state_dict() for column in columns]
    for name, tensor in states[kept].items():
        if not name.startswith(own) and any(not torch.equal(s[name], tensor) for s in states):
            raise MtlError(
                f"the columns differ in {name} of backbone {backbone.name!r}, which they should "
                "share; use normalization 'shared', or give every task labels in every batch"
            )
