"""How many kernels an LWS iteration starts on a GPU, and how long they run of the whole time."""

import time

import torch
from common import Row, Sampler, arguments, finish, make_batch, make_tasks
from step import CASES, Case, iteration
from torch.profiler import ProfilerActivity, profile

from mtl_framework.networks.task_networks import TaskNetworks

TOP = 0.9  # largest probability of the search distribution
WARM, TIMED, PROFILED = 5, 10, 3  # iterations


def measured(case: Case, precision: str) -> Row:
    """Wall time of an iteration over the time of its kernels."""
    backbone, tasks = case.backbone(), make_tasks([case.classes] * case.tasks, case.shape)
    torch.manual_seed(0)
    network = TaskNetworks(backbone, tasks, case.weights).to("cuda")
    network.precision = precision
    batch = make_batch(tasks, device="cuda")
    draw = Sampler(len(backbone.units), case.tasks, case.weights, TOP)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def step() -> None:
        iteration(network, batch, draw)
        optimizer.step()

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
    return Row(f"wall / kernels, {case.name}, {precision}", round(wall / kernels, 2), "", True,
               {**times})  # fmt: skip


def main() -> None:
    options = arguments(__doc__ or "")
    if not options.device.startswith("cuda"):
        print("launches.py: needs a GPU, nothing was measured")
        return
    cases = [case for case in CASES if case.quick or not options.quick]
    chosen = [case for case in cases if options.only in case.name]
    finish([measured(case, p) for case in chosen for p in ("fp32", "bf16")], options)


if __name__ == "__main__":
    main()
