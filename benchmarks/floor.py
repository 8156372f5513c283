"""Where an LWS iteration spends its time, and what it would take at the machine's peak.

Operations are counted by torch's counter; bytes are those that every call reads and writes, as if
nothing stayed in a cache. Peaks are measured: a convolution that the library does well, and a copy
of more memory than caches hold. What no call of torch explains is Python, planning included.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import Row, Sampler, arguments, finish, make_batch, make_tasks, seconds
from step import CASES, Case, iteration
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mtl_framework.networks.task_networks import TaskNetworks

KINDS = {
    "convolutions": ("convolution",),
    "norm, activation, pooling": (
        "batch_norm",
        "max_pool",
        "threshold",
        "relu",
        "addcmul",
        "clamp",
    ),
    "dense layers": ("mm", "linear"),
    "moving rows": ("index", "cat", "copy", "clone", "scatter", "split", "stack"),
}
OTHER, PYTHON = "other calls", "Python and planning"


class Ledger(TorchDispatchMode):
    """Seconds and bytes of torch's calls, by kind."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds = dict.fromkeys([*KINDS, OTHER], 0.0)
        self.bytes = dict.fromkeys([*KINDS, OTHER], 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        begin = time.perf_counter()
        found = func(*args, **(kwargs or {}))
        took = time.perf_counter() - begin
        name = func.overloadpacket.__name__
        kind = next((k for k, parts in KINDS.items() if any(p in name for p in parts)), OTHER)
        self.seconds[kind] += took
        if not func.is_view:
            leaves = pytree.tree_leaves((args, kwargs, found))
            self.bytes[kind] += sum(x.nbytes for x in leaves if isinstance(x, Tensor))
        return found


def peak_operations(repeats: int) -> float:
    """Floating-point operations a second of a convolution."""
    x = torch.randn(64, 64, 28, 28).contiguous(memory_format=torch.channels_last)
    w = torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)
    took = min(seconds(lambda: F.conv2d(x, w, padding=1)) for _ in range(3 * repeats))
    return 2 * 64 * 28 * 28 * 64 * 64 * 9 / took


def peak_bytes(repeats: int) -> float:
    """Bytes a second, read and written, of a copy of 256 MB."""
    x, y = torch.ones(1 << 26), torch.ones(1 << 26)
    return 2 * x.nbytes / min(seconds(lambda: x.copy_(y)) for _ in range(repeats))


def measure(case: Case, top: float | None, repeats: int) -> dict[str, Any]:
    """Counts and seconds of an iteration."""
    tasks, backbone = make_tasks([case.classes] * case.tasks, case.shape), case.backbone()
    torch.manual_seed(0)
    network, batch = TaskNetworks(backbone, tasks, case.weights), make_batch(tasks)
    draw = Sampler(len(backbone.units), case.tasks, case.weights, top)

    def step() -> None:
        iteration(network, batch, draw)

    step()
    wall = statistics.median(seconds(step) for _ in range(repeats))
    ledger, counter = Ledger(), FlopCounterMode(display=False)
    with ledger:
        for _ in range(repeats):
            step()
    with counter:
        for _ in range(repeats):
            step()
    parts = {kind: value / repeats for kind, value in ledger.seconds.items()}
    parts[PYTHON] = max(wall - sum(parts.values()), 0.0)
    return {
        "wall": wall,
        "parts": parts,
        "operations": counter.get_total_flops() / repeats,
        "bytes": sum(ledger.bytes.values()) / repeats,
    }


def draw_parts(found: dict[str, dict[str, Any]], file: Path) -> None:
    """A bar for every case, as long as its iteration, in parts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.55 * len(found) + 1.3), layout="constrained")
    axes = figure.subplots()
    colours = ["#4477aa", "#66ccee", "#228833", "#ccbb44", "#bbbbbb", "#ee6677"]
    names = list(found)
    left = [0.0] * len(names)
    for kind, colour in zip([*KINDS, OTHER, PYTHON], colours, strict=True):
        share = [found[name]["parts"][kind] / found[name]["wall"] for name in names]
        axes.barh(names, share, left=left, color=colour, label=kind, height=0.65)
        left = [a + b for a, b in zip(left, share, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of an iteration")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(file, dpi=150)


def main() -> None:
    options = arguments(__doc__ or "", figure=True)
    options.device = "cpu"  # what follows reads the clock when a call returns
    repeats = 5 if options.quick else 15
    operations, traffic = peak_operations(repeats), peak_bytes(repeats)
    print(f"peaks: {operations / 1e9:.0f} GFLOP/s, {traffic / 1e9:.1f} GB/s")
    found: dict[str, dict[str, Any]] = {}
    rows: list[Row] = []
    for case in CASES[:2]:
        if (options.quick and not case.quick) or options.only not in case.name:
            continue
        for top in (None, 0.9, 0.99):
            name = f"{case.name}, {top or 'uniform'}"
            found[name] = one = measure(case, top, repeats if case.repeats > 1 else 1)
            busy = one["operations"] / operations
            rows.append(
                Row(
                    f"iteration / its operations at the peak, {name}",
                    round(one["wall"] / busy, 3),
                    "",
                    True,
                    {
                        "ms": one["wall"] * 1e3,
                        "gflop": one["operations"] / 1e9,
                        "at_peak_ms": busy * 1e3,
                        "gbyte": one["bytes"] / 1e9,
                        "from_memory_ms": one["bytes"] / traffic * 1e3,
                        **{kind: value * 1e3 for kind, value in one["parts"].items()},
                    },
                )
            )
            print(rows[-1], flush=True)
    if options.figure and found:
        draw_parts(found, options.figure)
    finish(rows, options)


if __name__ == "__main__":
    main()
