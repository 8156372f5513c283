"""Mixers join columns behind some units: this is their base, and how rows reach them."""

from collections.abc import Sequence

from torch import Tensor, nn

from .banks import Ports, WeightBank
from .forward_pass import ForwardPass
from .layout import RowLayout, columns_apart, columns_together


class ColumnMixer(nn.Module):
    """A mixer makes of what all columns return behind a unit what each of them goes on with.

    Its ``forward(x, *earlier)`` takes (inputs, columns, examples, ...) to the same shape. Any torch
    module that does so is a mixer; this class is for those that need one of two further things.

    Args:
        reads: numbers of earlier units that are mixed, too: ``earlier`` holds what columns went on
            with behind them, in this order.
        behind: modules, one for each weight of the unit, or none. Behind the mixture a column
            passes the module of its own weight. Batch norms in it keep their running averages as
            those of the backbone do, in every normalisation mode; anywhere else in a mixer they are
            refused.
    """

    def __init__(self, reads: Sequence[int] = (), behind: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.reads = tuple(reads)
        self.behind = nn.ModuleList(behind)


def reads_of(mixer: nn.Module) -> tuple[int, ...]:
    """Return the units whose columns a mixer reads beside those of its own."""
    return mixer.reads if isinstance(mixer, ColumnMixer) else ()


def behind_of(mixer: nn.Module) -> list[nn.Module]:
    """Return the modules behind a mixer, one for each weight of the unit; or none."""
    return list(mixer.behind) if isinstance(mixer, ColumnMixer) else []


class MixedRows:
    """It passes the rows of a unit through its mixer, now that every column has rows of its own.

    Args:
        unit: number of the unit.
        mixer: the mixer, which belongs to the networks.
        forward_pass: the pass that the unit takes part in.
        keeps: whether a later mixer reads what comes out.
        checkpoint: whether what is behind the mixer is recomputed in the backward pass.
    """

    def __init__(
        self,
        unit: int,
        mixer: nn.Module,
        forward_pass: ForwardPass,
        keeps: bool,
        checkpoint: bool = False,
    ) -> None:
        self._unit, self._mixer, self._keeps = unit, mixer, keeps
        self._forward_pass = forward_pass
        self._behind: WeightBank | None = None
        if copies := behind_of(mixer):
            # one more place of the unit: one tensor in, one out, a row for each (example, path)
            ports = Ports((1,), (1,), (None,))
            self._behind = WeightBank(copies, unit, [ports], forward_pass, checkpoint)

    def __call__(self, rows: Tensor) -> Tensor:
        """Mix the rows of the present level."""
        forward_pass = self._forward_pass
        plan = forward_pass.plan
        assert plan is not None
        groups = plan.num_groups(forward_pass.level)
        layout = RowLayout(plan.examples, groups, plan.group_major)
        earlier = [forward_pass.kept[unit] for unit in reads_of(self._mixer)]
        apart = [columns_apart(x, layout, plan.num_inputs) for x in (rows, *earlier)]
        mixed: Tensor = columns_together(self._mixer(*apart), layout, rows)
        if self._behind is not None:
            mixed = self._behind(mixed)
        if self._keeps:
            forward_pass.kept[self._unit] = mixed
        return mixed


def running_layers(mixer: nn.Module) -> list[str]:
    """Return the names of a mixer's layers with running statistics, without those behind it."""
    return [
        name
        for name, module in mixer.named_modules()
        if not (behind_of(mixer) and name.startswith("behind."))
        and any("running_" in key for key, _ in module.named_buffers(recurse=False))
    ]
