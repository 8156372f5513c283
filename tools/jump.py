"""What makes the loss of learned sharing jump late in training: four continuations of one run.

    mtl run --strategy lws --preset paper --backbone dkl_convnet --suite arrays --data-root DATA \\
        --set suite.path=dkl_mnist_variant.npz --set suite.tasks=digits,letters,kuzushiji \\
        --set suite.train_per_task=500 --set suite.test_per_task=9500 \\
        --set initialization=he_uniform \\
        --eval-every 500 --set log_every=1 --iterations N --output runs/before
    python tools/jump.py runs/before 120 --figure docs/images/dkl-jump.png

goes on for 120 iterations from the last state of that run, which should end shortly before a jump:
as it would have; with every weight step under the most probable assignment alone; with a larger
epsilon in Adam, so that tiny second moments no longer turn a large gradient into a large step;
with the moments of Adam cleared. It prints the mean loss of each iteration and the least
probability of a choice that was sampled for the weights. The run's folder stays as it is.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from mtl_lws.strategy import LearnedWeightSharing
from torch import Tensor

from mtl_framework.plotting import colour_of, new_figure, style
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.resolve import read_file, resolve
from mtl_framework.runs.run import Run

Change = Callable[[LearnedWeightSharing], None]


def only_the_mode(strategy: LearnedWeightSharing) -> None:
    """Every sample that the weights are trained with is the most probable assignment."""
    network, accumulate = strategy.network, strategy.network.accumulate_gradients

    def under_mode(batch: object, assignments: Tensor, *rest: object) -> Tensor:
        mode = network.assignment.cpu()[None].expand_as(assignments)
        found: Tensor = accumulate(batch, mode, *rest)  # type: ignore[arg-type]
        return found

    network.accumulate_gradients = under_mode  # type: ignore[method-assign,assignment]


def larger_epsilon(strategy: LearnedWeightSharing) -> None:
    """1e-3 instead of 1e-8."""
    for group in strategy.optimizer.param_groups:
        group["eps"] = 1e-3


def cleared_moments(strategy: LearnedWeightSharing) -> None:
    """Adam begins anew."""
    strategy.optimizer.state.clear()


CHANGES: dict[str, Change] = {
    "as it was": lambda strategy: None,
    "most probable assignment only": only_the_mode,
    "Adam's epsilon 1e-3": larger_epsilon,
    "Adam's moments cleared": cleared_moments,
}


def go_on(folder: Path, iterations: int, change: Change) -> tuple[list[float], list[float]]:
    """Losses, and least probabilities of the sampled choices, of the next iterations."""
    plugins = Plugins.load()
    config: RunConfig = resolve(plugins, [read_file(folder / "config.yaml")]).config
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "run"
        shutil.copytree(folder, copy)
        run = Run.start(config, plugins, copy, resume=True)
        strategy = run.strategy
        assert isinstance(strategy, LearnedWeightSharing)
        change(strategy)
        distribution, rarest = strategy.distribution, [1.0]
        sample = distribution.sample

        def watched(n: int, generator: torch.Generator | None = None) -> Tensor:
            drawn = sample(n, generator)
            rarest[0] = float(distribution.pi.gather(2, drawn.permute(1, 2, 0)).min())
            return drawn

        distribution.sample = watched  # type: ignore[method-assign]
        losses, least = [], []
        loop = strategy.optimize(run)
        for _ in range(iterations):
            step = next(loop)  # the weights' samples are the last that it draws
            losses.append(float(step.loss.mean()))
            least.append(rarest[0])
            run._milestones.state.iteration += 1  # the loop of the run, without its evaluations
        loop.close()
    return losses, least


def draw(file: Path, found: dict[str, list[float]], begin: int) -> None:
    """The losses against the iteration, on a logarithmic scale."""
    with style():
        figure = new_figure(7, 3.2)
        axes = figure.subplots()
        for number, (name, losses) in enumerate(found.items()):
            x = range(begin + 1, begin + 1 + len(losses))
            axes.plot(x, losses, color=colour_of(number), label=name, linewidth=1.3)
        axes.set_yscale("log")
        axes.set_xlabel("iteration")
        axes.set_ylabel("training loss")
        figure.legend(loc="outside upper left", ncols=2)
        figure.savefig(file, dpi=150)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("iterations", type=int)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    found = {name: go_on(options.folder, options.iterations, c) for name, c in CHANGES.items()}
    print("iteration  least probability  loss: " + " · ".join(found))
    least = found["as it was"][1]
    for number in range(options.iterations):
        losses = "  ".join(f"{each[number]:9.4f}" for each, _ in found.values())
        print(f"{number + 1:9d}  {least[number]:17.4f}  {losses}")
    if options.figure is not None:
        begin = json.loads((options.folder / "result.json").read_text())["iterations"]
        draw(options.figure, {name: losses for name, (losses, _) in found.items()}, begin)


if __name__ == "__main__":
    main()
