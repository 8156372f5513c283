"""Run folders without a run: any number of tasks, with errors and sharing drawn at random."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.networks.evaluation import SplitMetrics
from mtl_framework.networks.model import ParameterCounts
from mtl_framework.networks.result import Assignment, Result
from mtl_framework.plugins.options import NamedOptions
from mtl_framework.runs.config import RunConfig, dump
from mtl_framework.runs.records import RunRecord


def task_names(count: int) -> list[str]:
    short = ["digits", "latin", "greek", "cyrillic", "armenian"]
    return short[:count] if count <= len(short) else [f"alphabet {n:02d}" for n in range(count)]


def split(errors: Sequence[float], names: Sequence[str]) -> SplitMetrics:
    per_task = {name: float(error) for name, error in zip(names, errors, strict=True)}
    mean = float(np.mean(errors))
    losses = {name: error / 30 for name, error in per_task.items()}
    return SplitMetrics(mean, mean + 0.3, per_task, losses)


def make_run(
    directory: Path,
    strategy: str,
    seed: int,
    tasks: int = 3,
    units: int = 4,
    level: float = 12.0,
    sharing: str = "found",
    iterations: int = 400,
) -> RunRecord:
    """Write a finished run's folder. ``sharing``: ``full``, ``none``, ``found`` or ``soft``."""
    generator = np.random.default_rng([seed, tasks, *strategy.encode()])
    directory.mkdir(parents=True)
    names = task_names(tasks)
    final = level * np.linspace(0.5, 1.6, tasks) * generator.normal(1, 0.08, tasks)
    config = RunConfig(
        strategy=NamedOptions(name=strategy),
        backbone=BackboneConfig(name="synthetic"),
        suite=NamedOptions(name="alphabets"),
        iterations=iterations,
        seed=seed,
    )
    lines = []
    for iteration in range(20, iterations + 1, 20):
        rest = np.exp(-iteration / 90)
        metrics = {"entropy": 1.2 * rest} if sharing == "found" else {}
        step = {"iteration": iteration, "loss": 2 * rest, "metrics": metrics, "seconds": 1.0}
        lines.append(step)
        found = split(final + 60 * rest * generator.normal(1, 0.1), names)
        evaluation = {"test": vars(found)}
        lines.append({"iteration": iteration, "evaluation": evaluation, "seconds": iteration / 10})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "config.yaml").write_text(dump(config))
    result = Result(
        strategy=strategy,
        backbone="synthetic",
        suite="alphabets",
        seed=seed,
        iterations=iterations,
        test=split(final.tolist(), names),
        validation=None,
        best=None,
        metrics=dict.fromkeys(names, "error %"),
        parameters=ParameterCounts(173_646, 120_000),
        assignment=draw_assignment(generator, sharing, units, names),
        seconds=40.0 + seed,
        seconds_per_iteration=0.1,
        peak_memory=512.0,
        versions={},
        device="cpu",
        threads=1,
    )
    result.save(directory / "result.json")
    return RunRecord(
        strategy, "alphabets", "synthetic", seed, directory, iterations, "done", result
    )


def draw_assignment(
    generator: np.random.Generator, sharing: str, units: int, names: Sequence[str]
) -> Assignment | None:
    tasks = len(names)
    if sharing == "soft":
        return None
    if sharing == "full":
        rows = np.zeros((units, tasks), int)
    elif sharing == "none":
        rows = np.tile(np.arange(tasks), (units, 1))
    else:
        group = np.arange(tasks) % max(2, tasks // 8)
        own = np.arange(tasks) + max(2, tasks // 8)
        rows = np.stack(
            [np.where(generator.random(tasks) < u / units * 0.8, own, group) for u in range(units)]
        )
    weights = tuple(tuple(int(w) for w in row) for row in rows)
    return Assignment(tuple(f"layer{n + 1}" for n in range(units)), tuple(names), weights)


def make_runs(directory: Path, tasks: int = 3, seeds: int = 5, units: int = 4) -> list[RunRecord]:
    """Full, no and found sharing, over several seeds."""
    return [
        make_run(directory / f"{name}-{seed}", name, seed, tasks, units, level, sharing)
        for name, level, sharing in (
            ("full", 14.0, "full"),
            ("none", 12.5, "none"),
            ("found", 9.0, "found"),
        )
        for seed in range(seeds)
    ]
