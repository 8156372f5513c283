"""How much an LWS iteration sends to the device, one call a weight and all weights in one call.

On a GPU: kernels started, how long they run, and the whole time. Elsewhere: operations by torch's
dispatcher, most of which would be one kernel or more each, and the time on that CPU, which does not
wait for launches (ResNet18 in CIFAR form takes long there).
"""

import functools
import time
from typing import Any

import torch
from common import Row, Sampler, arguments, finish, make_batch, make_tasks, medians, seconds
from step import CASES, Case, iteration
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_framework.networks.task_networks import TaskNetworks

TOP = 0.9  # largest probability of the search distribution
WARM, TIMED, PROFILED = 5, 10, 3  # iterations
WAYS = {False: "one call a weight", True: "all weights in one call"}


class Step:
    """One iteration of a case; on a GPU with the optimiser's step, which is fused there."""

    def __init__(self, case: Case, device: str, precision: str, batched: bool) -> None:
        backbone, tasks = case.backbone(), make_tasks([case.classes] * case.tasks, case.shape)
        torch.manual_seed(0)
        # rows as they lie on a GPU, also where there is none
        network = TaskNetworks(backbone, tasks, case.weights, group_major=False).to(device)
        network.precision, network.batched_weights = precision, batched
        self._network, self._batch = network, make_batch(tasks, device=device)
        self._draw = Sampler(len(backbone.units), case.tasks, case.weights, TOP)
        self._optimizer = None
        if device.startswith("cuda"):
            self._optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def __call__(self) -> None:
        iteration(self._network, self._batch, self._draw)
        if self._optimizer is not None:
            self._optimizer.step()


def measured(case: Case, precision: str, batched: bool) -> Row:
    """Wall time of an iteration over the time of its kernels."""
    step = Step(case, "cuda", precision, batched)
    for _ in range(WARM):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(TIMED):
        step()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - start) / TIMED
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(PROFILED):
            step()
        torch.cuda.synchronize()
    events = seen.key_averages()
    kernels = sum(event.self_device_time_total for event in events) / PROFILED / 1e6
    launches = sum(event.count for event in events if "LaunchKernel" in event.key) / PROFILED
    times = {"wall_ms": wall * 1e3, "kernels_ms": kernels * 1e3, "launches": launches}
    what = f"wall / kernels, {case.name}, {precision}, {WAYS[batched]}"
    return Row(what, round(wall / kernels, 2), "", True, {**times})


class Operations(TorchDispatchMode):
    """The number of operations that are no views."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def counted(case: Case) -> Row:
    """Operations of an iteration by one call a weight over those by one call for all."""
    steps = [Step(case, "cpu", "fp32", batched) for batched in WAYS]
    times = medians(*(functools.partial(seconds, step) for step in steps), repeats=3)
    counts = []
    for step in steps:
        with Operations() as operations:
            step()
        counts.append(operations.count)
    detail: dict[str, float | str] = {}
    for way, count, took in zip(WAYS.values(), counts, times, strict=True):
        detail |= {way: float(count), f"{way}, ms": took * 1e3}
    return Row(f"operations, {case.name}", round(counts[0] / counts[1], 2), "", True, detail)


def main() -> None:
    options = arguments(__doc__ or "")
    cases = [case for case in CASES if case.quick or not options.quick]
    chosen = [case for case in cases if options.only in case.name]
    if options.device.startswith("cuda"):
        ways = [(case, p, b) for case in chosen for p in ("fp32", "bf16") for b in WAYS]
        rows = [measured(*way) for way in ways]
    else:
        rows = [counted(case) for case in chosen]
    finish(rows, options)


if __name__ == "__main__":
    main()
