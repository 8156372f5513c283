"""Every promise that the framework relies on in a strategy is checked by one function."""

import signal
import threading
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.model import MultiTaskModel, Sharing
from ..runs.run import Run
from ..strategies.context import TrainingRun
from ..strategies.strategy import Strategy
from ..support.devices import resolve_device
from ..support.errors import MtlError
from ..support.interrupts import Interrupted
from .files import first_difference, run_files
from .trial import CheckError, Trial

Check = Callable[[Trial, Path], None]


def check_contract(trial: Trial, folder: Path) -> None:
    """The networks learn, and after every step predict the same again, in the promised shape.

    Raises:
        CheckError: with what is wrong; also where parameters stay as they are, counts of them are
            impossible, or what ``sharing`` says does not fit the suite.
    """
    seen: list[int] = []
    run = trial.start(folder / "run", lambda run: seen.append(_predict_twice(trial, run)))
    if run.strategy.network is not run.network:
        raise CheckError(f"{trial.name}: build should set self.network to what it returns")
    before = _parameters(run.network)
    run.execute()
    after = _parameters(run.network)
    if not any(
        name not in before or not value.equal(before[name]) for name, value in after.items()
    ):
        raise CheckError(f"{trial.name}: no parameter has changed in {len(seen)} steps")
    _check_counts(trial, run)


def check_same_seed(trial: Trial, folder: Path) -> None:
    """Two runs with one seed are the same, file by file.

    Raises:
        CheckError: naming the first file and entry that differ.
    """
    for name in ("one", "two"):
        trial.start(folder / name).execute()
    _compare(trial, folder / "one", folder / "two", "a second run with the same seed")


def check_resuming(trial: Trial, folder: Path) -> None:
    """A run that is stopped by a signal and goes on equals one that was not stopped.

    Raises:
        CheckError: naming the first file and entry that differ.
    """
    if threading.current_thread() is not threading.main_thread():
        raise unittest.SkipTest("signals reach the main thread only")
    trial.start(folder / "whole").execute()
    stop = 2  # neither of the evaluations

    def interrupt(run: TrainingRun) -> None:
        if run.iteration == stop:
            signal.raise_signal(signal.SIGTERM)

    try:
        trial.start(folder / "parts", interrupt).execute()
    except Interrupted:
        pass
    else:
        raise CheckError(f"{trial.name}: the run could not be stopped at iteration {stop}")
    trial.start(folder / "parts", resume=True).execute()
    _compare(trial, folder / "whole", folder / "parts", f"a run resumed at iteration {stop}")


def check_extraction(trial: Trial, folder: Path) -> None:
    """Every task's network, taken out of the saved run, gives what the run predicts, on its own.

    Raises:
        CheckError: naming the task and the largest difference; also where a network that was taken
            out shares memory with the run's own.
    """
    trial.start(folder / "run").execute()
    loaded = trial.load(folder / "run")
    for number, task in enumerate(loaded.suite.tasks):
        inputs = task.test.inputs
        if not isinstance(inputs, Tensor):
            raise unittest.SkipTest("inputs that lie in files are not compared")
        wanted = loaded.predict(number, inputs)
        alone = loaded.extract(number)
        with torch.no_grad():
            outputs = alone(loaded.preprocessings[number](inputs))
        if outputs.shape != wanted.shape:
            raise CheckError(
                f"{trial.name}: extract({task.name!r}) gives outputs of shape "
                f"{tuple(outputs.shape)}, predict {tuple(wanted.shape)}"
            )
        if not torch.allclose(outputs, wanted, rtol=1e-4, atol=1e-5):
            error = float((outputs - wanted).abs().max())
            raise CheckError(
                f"{trial.name}: extract({task.name!r}) and predict differ by up to {error:.2g}"
            )
        with torch.no_grad():
            for parameter in alone.parameters():
                parameter.add_(1)
        if not torch.equal(loaded.predict(number, inputs), wanted):
            raise CheckError(
                f"{trial.name}: what extract({task.name!r}) returns shares memory with the run; "
                "return a copy"
            )


def check_state(trial: Trial, folder: Path) -> None:
    """Whatever training changes on the strategy is saved, or registered as state.

    Raises:
        CheckError: naming tensors, numbers and containers among the strategy's attributes that
            steps change and that a resumed run would not have.
    """
    versions: dict[str, list[Any]] = {}

    def look(strategy: Strategy) -> None:
        registered = getattr(strategy, "_registered_state", {})
        for name, value in vars(strategy).items():
            if name not in registered and name != "_registered_state" and not _has_state(value):
                versions.setdefault(name, []).append(_frozen(value))

    strategies: list[Strategy] = []
    run = trial.start(folder / "run", lambda run: look(strategies[0]))
    strategies.append(run.strategy)
    look(run.strategy)
    run.execute()
    changed = [name for name, values in versions.items() if any(v != values[0] for v in values[1:])]
    if changed:
        names = ", ".join(f"self.{name}" for name in changed)
        raise CheckError(
            f"{trial.name}: training changes {names}, which a resumed run would not have; name it "
            "by self.register_state in build, or keep it in an object with a state_dict"
        )


def check_missing_labels(trial: Trial, folder: Path) -> None:
    """Examples without a label change nothing, whatever their targets are.

    Raises:
        CheckError: naming the first file and entry that depends on them.
    """
    for name, odd in (("one", False), ("other", True)):
        suite = {"name": "trial", "common_input": True, "unlabelled": 0.5, "odd_targets": odd}
        trial.start(folder / name, suite=suite).execute()
    contents = [run_files(folder / name) for name in ("one", "other")]
    for content in contents:
        content.pop("config.yaml", None)
    tensors = [
        {name: value for name, value in content.items() if name.endswith(".safetensors")}
        for content in contents
    ]
    if path := first_difference(tensors[0], tensors[1]):
        raise CheckError(f"{trial.name}: targets of examples without a label change {path}")


def check_devices(trial: Trial, folder: Path) -> None:
    """A run works on the accelerator of this machine; skipped where there is none.

    Raises:
        CheckError: with the error of the run.
    """
    try:
        device = resolve_device("auto")
    except MtlError:
        device = torch.device("cpu")
    if device.type == "cpu":
        raise unittest.SkipTest("this machine has no accelerator")
    try:
        trial.start(folder / "run", device=device.type).execute()
    except RuntimeError as error:
        raise CheckError(f"{trial.name}: on {device.type}: {error}") from error


CHECKS: tuple[Check, ...] = (
    check_contract,
    check_same_seed,
    check_resuming,
    check_extraction,
    check_state,
    check_missing_labels,
    check_devices,
)


def _predict_twice(trial: Trial, run: TrainingRun) -> int:
    """Predict every task's test inputs in evaluation mode; nothing may change by it."""
    network, training = run.network, run.network.training
    network.eval()
    for number, task in enumerate(run.suite.tasks):
        inputs = task.test.inputs
        if not isinstance(inputs, Tensor):
            continue
        floats = inputs.float().div(255).to(run.device)
        with torch.no_grad():
            outputs, again = (network.predict(number, floats) for _ in range(2))
        wanted = (len(inputs), task.objective.num_outputs)
        if (outputs.shape[0], outputs.shape[-1]) != wanted:
            raise CheckError(
                f"{trial.name}: predict({number}) gives shape {tuple(outputs.shape)}, should be "
                f"({wanted[0]}, ..., {wanted[1]})"
            )
        if not torch.isfinite(outputs).all():
            raise CheckError(f"{trial.name}: predict({number}) is not finite after a step")
        if not torch.equal(outputs, again):
            raise CheckError(f"{trial.name}: predict({number}) differs from call to call")
    network.train(training)
    return run.iteration


def _parameters(network: MultiTaskModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def _check_counts(trial: Trial, run: Run) -> None:
    counts = run.network.parameter_counts()
    if min(counts.trained, counts.deployed) < 1:
        raise CheckError(f"{trial.name}: parameter_counts gives {counts}; both should be positive")
    sharing = run.network.sharing()
    if sharing is None:
        return
    if not isinstance(sharing, Sharing):
        kind = type(sharing).__name__
        raise CheckError(f"{trial.name}: sharing should return a Sharing or None, found {kind}")
    shape = (len(sharing.units), len(run.suite))
    if tuple(sharing.weights.shape) != shape or sharing.tasks != run.suite.task_names:
        raise CheckError(
            f"{trial.name}: sharing has weights of shape {tuple(sharing.weights.shape)} for tasks "
            f"{', '.join(sharing.tasks)}; should be {shape} for {', '.join(run.suite.task_names)}"
        )


def _compare(trial: Trial, one: Path, other: Path, what: str) -> None:
    path = first_difference(run_files(one), run_files(other))
    if path is not None:
        raise CheckError(f"{trial.name}: {what} differs in {path}")


def _has_state(value: object) -> bool:
    return isinstance(value, nn.Module | torch.Generator) or hasattr(value, "state_dict")


def _frozen(value: Any) -> Any:
    """Turn a value into something to compare by value; objects are not looked into."""
    if isinstance(value, Tensor):
        array = value.detach().cpu()
        return str(array.dtype), tuple(array.shape), array.contiguous().view(-1).tolist()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return [(repr(key), _frozen(item)) for key, item in value.items() if not _has_state(item)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_frozen(item) for item in value if not _has_state(item)]
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic | None):
        return repr(value)
    return type(value).__name__
