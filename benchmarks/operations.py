"""How near a run's count of operations is, which is of some steps, to that of all its steps.

OMP_NUM_THREADS=1 python benchmarks/operations.py pta task_grouping lws
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import check_config
from mtl_framework.runs.operations import MacCounter, is_counted, level_of
from mtl_framework.runs.run import Run
from mtl_framework.runs.strategy_checks import Steps

T = TypeVar("T")


def counts_of(strategy: str, iterations: int) -> dict[int, int]:
    """Multiply-accumulates of every step of a run on five alphabets, by the step's number."""
    counts: dict[int, int] = {}

    def during(number: int, step: Callable[[], T]) -> T:
        with MacCounter() as counter:
            done = step()
        counts[number] = counter.macs
        return done

    config = check_config(
        {
            "suite": {"name": "alphabets"},
            "backbone": {"name": "dkl_convnet", "normalization": "task"},
            "strategy": {"name": strategy},
            "iterations": iterations,
            "device": "cpu",
        }
    )
    with TemporaryDirectory() as folder:
        run = Run.start(config, Plugins.load(), Path(folder) / "run", claim=False)
        steps = Steps(strategy, run.strategy.optimize(run), during)
        for number in range(1, iterations + 1):
            run._milestones.state.iteration = number - 1
            steps.next(number)
        steps.close()
        run.close()
    return counts


def main() -> None:
    """Print both means, in units of 1e9."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("strategies", nargs="+")
    parser.add_argument("--iterations", type=int, default=800)
    options = parser.parse_args()
    for strategy in options.strategies:
        counts = counts_of(strategy, options.iterations)
        level = level_of(options.iterations)
        some = [macs for number, macs in counts.items() if is_counted(number, level)]
        every, said = sum(counts.values()) / len(counts), sum(some) / len(some)
        print(f"{strategy}: {every / 1e9:.3f} in all steps, {said / 1e9:.3f} said", flush=True)


if __name__ == "__main__":
    main()
