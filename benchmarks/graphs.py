"""What a step that repeats costs computed, and replayed as one CUDA graph (``cuda_graphs``).

Full sharing and no sharing of the networks of step.py, weights' step alone: losses, gradients and
running averages; the optimiser's step, which is computed either way, is fused and counted.
"""

import functools
from typing import Any

import torch
from common import Row, arguments, finish, make_batch, make_tasks, medians, seconds
from step import CASES, Case
from torch import Tensor

from mtl_framework.networks.repeated_steps import RepeatedSteps
from mtl_framework.networks.task_networks import TaskNetworks

WARM = 6  # steps: three are computed, then one is recorded


class Step:
    """The weights' step of a case under one assignment."""

    def __init__(self, case: Case, own: bool, precision: str, graphs: bool) -> None:
        backbone, tasks = case.backbone(), make_tasks([case.classes] * case.tasks, case.shape)
        torch.manual_seed(0)
        self.network = TaskNetworks(backbone, tasks, case.tasks if own else 1).to("cuda").train()
        self.network.precision = precision
        if graphs:
            self.network.repeated = RepeatedSteps(self.network)
        self._batch = make_batch(tasks, device="cuda")
        weights = torch.arange(case.tasks) if own else torch.zeros(case.tasks, dtype=torch.int64)
        self._assignments: Tensor = weights.expand(1, len(backbone.units), -1).contiguous()
        self._optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)
        for _ in range(WARM):
            self()

    def __call__(self) -> None:
        self._optimizer.zero_grad()
        self.network.accumulate_gradients(self._batch, self._assignments)
        self._optimizer.step()


def measured(case: Case, own: bool, precision: str, repeats: int) -> Row:
    """Time of a computed step over that of a replayed one."""
    computed, replayed = (Step(case, own, precision, graphs) for graphs in (False, True))
    assert replayed.network.repeated is not None
    assert replayed.network.repeated.replays
    by_hand, by_graph = medians(
        functools.partial(seconds, computed, "cuda"),
        functools.partial(seconds, replayed, "cuda"),
        repeats=repeats,
    )
    sharing = "no sharing" if own else "full sharing"
    times: dict[str, Any] = {"computed_ms": by_hand * 1e3, "replayed_ms": by_graph * 1e3}
    what = f"computed / replayed, {case.name}, {sharing}, {precision}"
    return Row(what, round(by_hand / by_graph, 2), "", True, times)


def main() -> None:
    options = arguments(__doc__ or "")
    if not options.device.startswith("cuda"):
        print("graphs.py: needs a GPU, nothing was measured")
        return
    cases = [case for case in CASES if case.quick or not options.quick]
    rows = [
        measured(case, own, precision, 5 if options.quick else 25)
        for case in cases
        if options.only in case.name
        for own in (False, True)
        for precision in ("fp32", "bf16")
    ]
    finish(rows, options)


if __name__ == "__main__":
    main()
