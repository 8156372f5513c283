"""How often the known grouping of MUiR's synthetic tasks (clean) is learned from a random start.

    python tools/oracle_starts.py DATA

Forty starts of the oracle at once: thirty tasks, three hypermodules of 20 numbers, a context of one
number a task, full batches, Adam with 0.001, 25,000 steps, started as by the published code. No
validation, no search: what is left is the bilinear regression itself.
"""

import sys

import torch
from mtl_suites.muir_synthetic import muir_synthetic

STARTS, STEPS = 40, 25_000


def main() -> None:
    """Print how many starts reach zero error, and the tasks' mean test RMSE of the others."""
    tasks = muir_synthetic(data_root=sys.argv[1]).tasks
    inputs, targets = (
        torch.stack([getattr(t.train, n) for t in tasks]) for n in ("inputs", "targets")
    )
    test, wanted = (torch.stack([getattr(t.test, n) for t in tasks]) for n in ("inputs", "targets"))
    group = torch.arange(len(tasks)) // 10
    torch.manual_seed(0)
    modules = torch.randn(STARTS, 3, inputs.shape[2], requires_grad=True)
    z = (2 / inputs.shape[2]) ** 0.5
    contexts = torch.full((STARTS, len(tasks)), z, requires_grad=True)
    optimizer = torch.optim.Adam([modules, contexts], 1e-3)

    def errors(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        weights = modules[:, group] * contexts[:, :, None]
        return (torch.einsum("tnf,stf->stn", x, weights) - y.squeeze(-1)).square().mean(2)

    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(errors(inputs, targets).sum())
        optimizer.step()
    with torch.no_grad():
        rmse = errors(test, wanted).sqrt()
    solved = rmse.view(STARTS, 3, 10).mean(2) < 0.05
    print(f"{int(solved.all(1).sum())} of {STARTS} starts reach zero error in all groups")
    print(f"share of starts by group: {[round(s, 3) for s in solved.float().mean(0).tolist()]}")
    stuck = rmse.mean(1)[~solved.all(1)]
    print(f"mean test RMSE of the others: {[round(s, 1) for s in sorted(stuck.tolist())]}")


if __name__ == "__main__":
    main()
