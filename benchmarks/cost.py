"""What a strategy costs beside no sharing: parameters, and the operations of a step.

    python benchmarks/cost.py cross_stitch nddr --suite digits --backbone resnet10t

Operations are multiply-adds of matrix products, convolutions and attention, counted as in results
(``macs``), forwards and backwards, in the first step of a run. Predictions are
those of one example for every task, by each task's network as it is taken out.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.operations import MacCounter
from mtl_framework.runs.run import Run

Row = tuple[int, int, float, float]


def measured(strategy: dict[str, Any], given: dict[str, Any], plugins: Plugins) -> Row:
    """Parameters trained and needed afterwards, multiply-adds of a step and of predictions."""
    config = RunConfig.model_validate({"strategy": strategy, **given})
    with TemporaryDirectory() as folder:
        run = Run.start(config, plugins, Path(folder) / "run", claim=False)
        try:
            step = counted(lambda: next(run.strategy.optimize(run)))
            inputs = [x[:1].cpu() for x in run.next_batch().inputs]
            alone = [run.network.extract(task) for task in range(len(inputs))]
            predictions = counted(lambda: [net(x) for net, x in zip(alone, inputs, strict=True)])
            counts = run.network.parameter_counts()
        finally:
            run.close()
    return counts.trained, counts.deployed, step, predictions


def counted(work: Any) -> float:
    """Multiply-adds of some work."""
    with MacCounter() as counter:
        work()
    return float(counter.macs)


def main() -> None:
    """Print a table, in which everything is compared with no sharing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("strategies", nargs="+", help="names, with options: nddr,norm=false")
    parser.add_argument("--suite", default="digits")
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--size", type=int, help="height and width of the suite's images")
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    given: dict[str, Any] = {
        "suite": {"name": args.suite, **({"size": args.size} if args.size else {})},
        "backbone": {"name": args.backbone},
        "batch_size": args.batch_size,
        "device": "cpu",
    }
    plugins = Plugins.load()
    print("| strategy | trained | needed | a step | predictions |\n|---|---|---|---|---|")
    base: Row | None = None
    for text in ["no_sharing", *args.strategies]:
        name, *options = text.split(",")
        strategy = {"name": name} | dict(option.split("=") for option in options)
        row = measured(strategy, given, plugins)
        base = base or row
        cells = [
            f"{value / 1e6:,.2f} M ({value / b:.2f})" for value, b in zip(row, base, strict=True)
        ]
        print(f"| `{text}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
