"""Seconds to a validation error: the ways in which learned sharing can draw and rank samples.

Every way trains the same networks with the same seeds. Its clock counts training only, without
evaluations and files: the processor's time of this process on one thread, so that other work on
the machine hardly matters, else seconds of waiting. Curves are means over seeds, of seconds and of
errors. The error of the paper's search at half, three quarters and all of its iterations is the aim
of every way; ratios are its seconds over a way's, and 0 where a way never gets there.

The published loops make the paper's own updates, one path after the other. They are not trained
again: their seconds an iteration, without the optimiser, are measured, and its curve is drawn
over them.

A run that is finished in ``--output`` is read, not repeated; one that was stopped begins again.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import Row, Sampler, at_least, finish, make_batch, make_tasks, plugin_backbone
from loops import Loops
from mtl_lws.presets import PAPER
from step import iteration

import mtl_framework
from mtl_framework import Evaluation, Step, TrainingRun
from mtl_framework.plugins.manager import Plugins
from mtl_framework.support.allocator import keep_freed_memory


@dataclass(frozen=True)
class Case:
    """Data, how long the paper's search trains on them, and the ratios that are aimed at.

    ``options`` are set in all ways but the defaults of ``lws``.
    """

    suite: Mapping[str, Any]
    classes: tuple[int, ...]
    iterations: int
    loops_target: float
    paper_target: float = 2.0
    options: Mapping[str, Any] = field(default_factory=dict)


OMNIGLOT = (24, 22, 24, 47, 40, 26, 42, 17)
CASES = {
    "alphabets": Case({"name": "alphabets"}, (10, 26, 24, 33, 38), 600, 5),
    "dkl": Case(
        {
            "name": "arrays",
            "path": "dkl_mnist_variant.npz",
            "tasks": ["digits", "letters", "kuzushiji"],
            "train_per_task": 500,
            "validation_per_task": 500,
            "test_per_task": 500,
        },
        (10, 26, 10),
        2000,
        10,
    ),
    "omniglot": Case(
        {
            "name": "arrays",
            "path": "omniglot_small.npz",
            "group_by": "alphabet",
            "labels": "character",
            "size": 28,
            "train_per_task": 0.7,
            "validation_per_task": 0.15,
            "test_per_task": 0.15,
        },
        OMNIGLOT,
        2000,
        5,
        options={"nes_learning_rate": 0.1, "credit": "task"},
    ),
}
_PAPER = {name: value for name, value in PAPER["strategy"].items() if name != "name"}
WAYS: dict[str, dict[str, Any]] = {
    "paper": {},
    "credit: task": {"credit": "task"},
    "nested": {"sampling": "nested"},
    "stratified, 4 samples, credit: task": {
        "sampling": "stratified",
        "credit": "task",
        "nes_samples": 4,
        "weight_samples": 4,
    },
    "weight step": {"ranked_on": "weight_step", "credit": "task"},
    "weight step, nested, 4 samples": {
        "ranked_on": "weight_step",
        "credit": "task",
        "sampling": "nested",
        "weight_samples": 4,
    },
}
DEFAULTS = "defaults of lws"  # a shared start, a rate that rises, an end without search
BACKBONE = "dkl_convnet"


class Clock:
    """A clock observes a run and counts the seconds of its training at every evaluation."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.trained, self.mark = 0.0, 0.0
        self.curve: list[tuple[int, float, float]] = []  # iteration, seconds, validation metric

    @mtl_framework.hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Begin to count."""
        self.mark = self.now()

    @mtl_framework.hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Add the seconds since the last step or evaluation."""
        now = self.now()
        self.trained, self.mark = self.trained + now - self.mark, now

    @mtl_framework.hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Note the validation metric, and leave out the seconds that it took."""
        error = evaluation.splits["validation"].error_mean
        assert error is not None  # all tasks of every case are classifications
        self.curve.append((run.iteration, self.trained, error))
        self.mark = self.now()


@dataclass(frozen=True)
class Curve:
    """A curve has the seconds and the smoothed validation error of every evaluation."""

    iterations: tuple[int, ...]
    seconds: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def smoothed(cls, points: list[tuple[int, float, float]]) -> "Curve":
        """Average every error with the two before it, so that no single lucky one counts."""
        iterations, seconds, errors = (tuple(column) for column in zip(*points, strict=True))
        means = tuple(statistics.fmean(errors[max(0, n - 2) : n + 1]) for n in range(len(errors)))
        return cls(iterations, seconds, means)

    @classmethod
    def mean(cls, curves: Sequence["Curve"]) -> "Curve":
        """Average the curves of several seeds, evaluation by evaluation."""
        seconds = zip(*(curve.seconds for curve in curves), strict=True)
        errors = zip(*(curve.errors for curve in curves), strict=True)
        means = (tuple(map(statistics.fmean, each)) for each in (seconds, errors))
        return cls(curves[0].iterations, *means)

    def seconds_to(self, error: float) -> float | None:
        """Return the seconds until the error is at most this; ``None``: it never is."""
        reached = (s for s, e in zip(self.seconds, self.errors, strict=True) if e <= error)
        return next(reached, None)


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    """Return what tells the seconds of training."""
    if options.device != "cpu":

        def waited() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return waited
    return time.process_time if options.threads == 1 else time.perf_counter


def options_of(case: Case, way: str) -> dict[str, Any]:
    """The options of a way: those of the paper's search but for the case's and its own."""
    return {} if way == DEFAULTS else {**_PAPER, **case.options, **WAYS[way]}


def ways_of(case: Case, asked: Iterable[str]) -> list[str]:
    """Return the ways to train, the paper's first, without those that this case makes equal."""
    usual = options_of(case, "paper")
    return ["paper", *(w for w in dict.fromkeys(asked) if options_of(case, w) != usual)]


def train(case: Case, way: str, seed: int, options: argparse.Namespace) -> Curve:
    """Train one way with one seed, or read what it gave."""
    folder = options.output and options.output / options.case
    file = folder and folder / f"{way.replace(': ', ' ')} {options.iterations} {seed}.json"
    if file and file.exists():
        return Curve.smoothed([tuple(point) for point in json.loads(file.read_text())])
    clock, plugins = Clock(clock_of(options)), Plugins.load()
    plugins.register(clock, "clock of the benchmark")
    with TemporaryDirectory() as made:
        mtl_framework.run(
            {"name": "lws", **options_of(case, way)},
            BACKBONE,
            dict(case.suite),
            output=Path(made) / "run",
            progress=False,
            plugins=plugins,
            seed=seed,
            iterations=options.iterations,
            eval_every=options.eval_every,
            device=options.device,
            **({"data_root": options.data_root} if options.data_root else {}),
        )
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(clock.curve) + "\n")
    return Curve.smoothed(clock.curve)


def loops_seconds(case: Case, options: argparse.Namespace) -> float:
    """Measure an iteration of the published loops: 8 samples ranked, 8 others back-propagated."""
    tasks, backbone = make_tasks(case.classes, (1, 28, 28)), plugin_backbone(BACKBONE, (1, 28, 28))
    loops = Loops(backbone, tasks, len(tasks)).to(options.device)
    batch = make_batch(tasks, device=options.device)
    draw, now = Sampler(len(backbone.units), len(tasks), len(tasks), None), clock_of(options)

    def timed() -> float:
        start = now()
        iteration(loops, batch, draw)
        return now() - start

    timed()
    return statistics.median(timed() for _ in range(3 if options.quick else 7))


def ratios(
    case: Case, curves: Mapping[str, list[Curve]], loops: float, options: argparse.Namespace
) -> list[Row]:
    """Compare the seconds of every way with the paper's and the loops', for three errors."""
    rows, means = [], {way: Curve.mean(given) for way, given in curves.items()}
    usual = means["paper"]
    for share, name in ((0.5, "half"), (0.75, "three quarters"), (1.0, "all")):
        error = usual.errors[round(len(usual.errors) * share) - 1]
        its_seconds = usual.seconds_to(error)
        assert its_seconds is not None  # this error is its own
        steps = usual.iterations[usual.seconds.index(its_seconds)]
        for way, given in curves.items():
            reached = sum(curve.seconds_to(error) is not None for curve in given)
            detail: dict[str, float | str] = {
                "error": error,
                "seeds": f"{reached} of {len(given)}",
            }
            mine, ratio = means[way].seconds_to(error), 0.0
            if mine is not None:
                ratio = its_seconds / mine
                detail |= {"s": mine, "loops_s": loops * steps}
            over_loops = loops * steps / mine if mine is not None else 0.0
            for over, value, aim in (
                ("paper", ratio, case.paper_target),
                ("loops", over_loops, case.loops_target),
            ):
                what = f"{options.case}, {way}, {name}: over {over}"
                if way == "paper" or options.quick:  # what has hardly learned has no aim
                    rows.append(Row(what, value, "", True, detail))
                else:
                    rows.append(at_least(what, value, aim, **detail))
    return rows


def draw(curves: Mapping[str, list[Curve]], loops: float, options: argparse.Namespace) -> None:
    """Draw the mean error of every way over its mean seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.5), layout="constrained")
    axes = figure.subplots()

    for way, given in curves.items():
        mean = Curve.mean(given)
        axes.plot(
            mean.seconds,
            mean.errors,
            color=f"C{[*WAYS, DEFAULTS].index(way)}",  # one colour a way in all cases
            label=way,
            linewidth=2.5 if way == "paper" else 1.5,
        )
    usual, seeds = Curve.mean(curves["paper"]), len(curves["paper"])
    axes.plot(
        [loops * n for n in usual.iterations],
        usual.errors,
        "k--",
        label="published loops (the paper's updates)",
    )
    axes.set(xscale="log", xlabel="seconds of training", ylabel="validation error %")
    axes.set_title(f"{options.case}, {BACKBONE}, {seeds} seed{'s' * (seeds > 1)}")
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    figure.savefig(options.figure, dpi=150)


def arguments() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, default="alphabets", help="which data")
    parser.add_argument("--data-root", type=Path, help="folder of the data")
    parser.add_argument(
        "--ways", nargs="*", choices=(*WAYS, DEFAULTS), default=[*WAYS, DEFAULTS], metavar="WAY"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, help="default: what the case has")
    parser.add_argument(
        "--eval-every", type=int, help="default: a fortieth of the iterations, at least 5"
    )
    parser.add_argument("--output", type=Path, help="keep the curves here, and go on with them")
    parser.add_argument("--figure", type=Path, help="draw the curves into this file")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--quick", action="store_true", help="one seed, 40 iterations, two ways")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.ways = 1, ["paper", "weight step, nested, 4 samples"]
    options.iterations = options.iterations or (
        40 if options.quick else CASES[options.case].iterations
    )
    options.eval_every = options.eval_every or max(5, options.iterations // 40)
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    return options


def main() -> None:
    options = arguments()
    case, curves = CASES[options.case], dict[str, list[Curve]]()
    loops = loops_seconds(case, options)
    for seed in range(options.seeds):  # seeds outermost: every way has as many when it is stopped
        for way in ways_of(case, options.ways):
            curve = train(case, way, seed, options)
            curves.setdefault(way, []).append(curve)
            end = f"{curve.errors[-1]:.2f} % after {curve.seconds[-1]:.0f} s"
            print(f"{options.case}, {way}, seed {seed}: {end}", flush=True)
    finish(ratios(case, curves, loops, options), options)
    if options.figure:
        draw(curves, loops, options)


if __name__ == "__main__":
    main()
