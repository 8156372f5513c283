"""Variance of the search's gradient: samples drawn nested or stratified, beside independent ones.

A network is trained by the paper's search on the suite ``alphabets`` for some hundred iterations.
Then its weights and a batch are held, the loss of every task on every path is measured, and steps
of a search are drawn many times, each of which gives a natural gradient. Its variance is the trace
of its covariance over draws; the operations of a step are multiply-adds of the routed pass that
evaluates the samples. ``ratio`` is what independent draws need over what a way needs for the same
certainty: variance, relative to the squared length of the mean gradient, times operations; above 1
a way gets more out of an operation. ``length`` and ``cosine`` compare a way's mean gradient with
that of independent draws: 1 and 1 where ranks and their centring change nothing in expectation.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import torch
from common import Row, finish
from cost import counted
from mtl_lws.beyond.credit import Credit, ranked
from mtl_lws.beyond.sampling import Sampling, centring_correction, draw
from mtl_lws.presets import PAPER
from mtl_lws.strategy import LearnedWeightSharing
from torch import Tensor

from mtl_framework import SearchDistribution
from mtl_framework.data.batches import Batch
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.run import Run
from mtl_framework.strategies.search_distribution import natural_gradient, utilities

WAYS: tuple[Sampling, ...] = get_args(Sampling)
CREDITS: tuple[Credit, ...] = ("joint", "task")
SAMPLES, WEIGHTS = 8, 3
State = Literal["uniform", "searched"]


def trained(iterations: int, folder: Path) -> tuple[LearnedWeightSharing, Batch]:
    """Train the paper's search, and return it with the batch that all draws are ranked on."""
    options = {"weights_per_unit": WEIGHTS, "nes_learning_rate": 0.05}
    config: dict[str, Any] = {
        "strategy": {**PAPER["strategy"], **options},
        "suite": {"name": "alphabets"},
        "backbone": {"name": "dkl_convnet", "normalization": "task"},
        "iterations": iterations,
        "device": "cpu",
    }
    run = Run.start(RunConfig.model_validate(config), Plugins.load(), folder, claim=False)
    try:
        strategy = run.strategy
        assert isinstance(strategy, LearnedWeightSharing)
        for _ in itertools.islice(strategy.optimize(run), iterations):
            pass
        batch = run.next_batch()
    finally:
        run.close()
    strategy.network.eval()
    return strategy, batch


def losses_of_paths(strategy: LearnedWeightSharing, batch: Batch) -> Tensor:
    """Measure every task on every path, in the order of their numbers: losses (paths, tasks).

    In evaluation a task's loss depends on its own path alone.
    """
    units, tasks = strategy.network.assignment.shape
    paths = torch.tensor(list(itertools.product(range(WEIGHTS), repeat=units)))
    with torch.no_grad():
        found = [
            strategy.network.losses(batch, some[:, :, None].repeat(1, 1, tasks))
            for some in paths.split(9)
        ]
    return torch.cat(found).double()


def gradients(
    distribution: SearchDistribution, losses: Tensor, way: Sampling, credit: Credit, draws: int
) -> Iterator[Tensor]:
    """Yield natural gradients of draws, by the losses of the paths that samples take."""
    units, _, weights = distribution.pi.shape
    generator = torch.Generator().manual_seed(0)
    places = weights ** torch.arange(units - 1, -1, -1)  # path (0, 1, 2, 0): 0 + 9 + 6 + 0
    correction = centring_correction(units, SAMPLES, way)
    for _ in range(draws):
        drawn = draw(distribution, SAMPLES, generator, way)
        number = (drawn * places[:, None]).sum(1)
        found = losses.gather(0, number)
        gradient = natural_gradient(drawn, utilities(ranked(found, credit)), distribution.pi)
        yield correction * gradient


def operations(
    strategy: LearnedWeightSharing, batch: Batch, distribution: SearchDistribution, way: Sampling
) -> float:
    """Count the multiply-adds of evaluating a step's samples, as a mean over draws."""
    generator = torch.Generator().manual_seed(1)
    total, draws = 0.0, 12
    with torch.no_grad():
        for _ in range(draws):
            drawn = draw(distribution, SAMPLES, generator, way)
            total += counted(lambda drawn=drawn: strategy.network.losses(batch, drawn))
    return total / draws


def rows(strategy: LearnedWeightSharing, batch: Batch, state: State, draws: int) -> list[Row]:
    """Measure all ways for both credits under one search distribution."""
    searched = strategy.distribution
    counts, tasks = searched.weights_per_unit, searched.pi.shape[1]
    distribution = SearchDistribution.uniform(counts, tasks) if state == "uniform" else searched
    losses = losses_of_paths(strategy, batch)
    spent = {way: operations(strategy, batch, distribution, way) for way in WAYS}
    found = []
    for credit in CREDITS:
        usual, expected = 0.0, torch.zeros(0)
        for way in WAYS:
            every = torch.stack([*gradients(distribution, losses, way, credit, draws)])
            mean, variance = every.mean(0), float(every.var(0).sum())
            need = spent[way] * variance / float(mean.square().sum())
            if way == "independent":
                usual, expected = need, mean
            detail: dict[str, float | str] = {
                "variance": variance,
                "operations": spent[way] / 1e6,
                "length": float(mean.norm() / expected.norm()),
                "cosine": float((mean * expected).sum() / mean.norm() / expected.norm()),
            }
            what = f"{state}, credit: {credit}, {way}"
            found.append(Row(what, usual / need, "", True, detail))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 iterations, 200 draws")
    parser.add_argument("--iterations", type=int, help="of the training before; default: 400")
    parser.add_argument("--draws", type=int, help="of a step's samples; default: 4000")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    iterations = options.iterations or (20 if options.quick else 400)
    draws = options.draws or (200 if options.quick else 4000)
    with TemporaryDirectory() as folder:
        strategy, batch = trained(iterations, Path(folder) / "run")
    entropy = strategy.distribution.entropy()
    print(f"after {iterations} iterations: entropy {entropy:.2f} nats of log 3 = 1.10")
    states: tuple[State, ...] = get_args(State)
    finish([row for state in states for row in rows(strategy, batch, state, draws)], options)


if __name__ == "__main__":
    main()
