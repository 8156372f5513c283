"""Peak memory of a pass against the budget that was set.

On a CPU it is what the process holds at most, on a GPU what torch's allocator holds at most.
"""

import resource
import subprocess
import sys

import torch
from common import (
    Row,
    Sampler,
    arguments,
    at_most,
    finish,
    make_batch,
    make_tasks,
    plugin_backbone,
    timm_backbone,
)

from mtl_framework.networks.task_networks import TaskNetworks

CASES = {
    "omniglot_convnet": ((1, 105, 105), 8, 8),
    "resnet18": ((3, 32, 32), 8, 8),
}


def held(device: str) -> float:
    """MiB that this process has held at most, on that device."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak(name: str, budget: int | None, device: str) -> float:
    """MiB that a step adds to what is held without activations, in this process."""
    shape, tasks, weights = CASES[name]
    backbone = plugin_backbone(name, shape) if "convnet" in name else timm_backbone(name, shape)
    suite = make_tasks([10] * tasks, shape)
    network = TaskNetworks(backbone, suite, weights).to(device).train()
    batch = make_batch(suite, device=device)
    draw = Sampler(len(backbone.units), tasks, weights, None)
    network.memory_budget = 1  # gradients and buffers of the libraries exist before it counts
    network.accumulate_gradients(batch, draw(1))
    before = held(device)
    network.memory_budget = budget
    network.accumulate_gradients(batch, draw())
    return held(device) - before


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "--peak":
        torch.set_num_threads(1)
        print(peak(sys.argv[2], int(sys.argv[3]) or None, sys.argv[4]))
        return
    options = arguments(__doc__ or "")
    rows: list[Row] = []
    cases = (
        [("resnet18", 300)]
        if options.quick
        else [
            ("resnet18", 300),
            ("resnet18", 600),
            ("omniglot_convnet", 800),
            ("omniglot_convnet", 2000),
        ]
    )
    for name, budget in cases:
        if options.only not in name:
            continue
        found = {}
        for value in (budget, 0):
            command = [sys.executable, __file__, "--peak", name, str(value), options.device]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[value] = float(output)
        rows.append(
            at_most(
                f"peak / budget, {name}, {budget} MiB",
                found[budget] / budget,
                1.1,
                peak_mib=found[budget],
                without_budget_mib=found[0],
            )
        )
    finish(rows, options)


if __name__ == "__main__":
    main()
