"""The host's own observers write the metrics file and draw the progress bar.

They implement the same hooks as a plugin's observer. A run calls these two itself, because their
failing must stop it, where a plugin's failing must not.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress as Bar

from ..networks.evaluation import Evaluation, split_text
from ..plugins.hookspecs import hookimpl
from ..plugins.manager import Plugins
from ..strategies.context import TrainingRun
from ..strategies.step import Step
from ..support.distributed import is_first
from ..support.errors import MtlError
from ..support.notebook import NotebookBar
from .config import RunConfig
from .progress_line import ProgressLine


class MetricsFile:
    """This observer writes one line of JSON every ``log_every`` steps, and for every evaluation.

    Lines of steps hold ``iteration``, ``loss``, ``loss_per_task`` (where the strategy reports it;
    null for a task without a label in the step, which the mean leaves out), ``metrics`` and
    ``seconds``; those of evaluations ``iteration``, ``evaluation`` (figures by
    split) and ``seconds``.

    Args:
        path: path of the file; it is made if it does not exist.
        keep: number of bytes of an earlier part of the run to keep, cut back to whole lines.

    Raises:
        MtlError: if the file cannot be opened.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        self._handle = -1
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            kept = path.read_bytes()[:keep]
            os.ftruncate(self._handle, kept.rfind(b"\n") + 1)
        except OSError as error:
            self.close()
            raise self._error(error) from error

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Write a line every ``log_every`` steps."""
        if run.iteration % run.log_every:
            return
        self._write(step_line(run, step))

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Write a line for an evaluation."""
        self._write(evaluation_line(run, evaluation))

    def length(self) -> int:
        """Return the length of the file in bytes."""
        try:
            return os.fstat(self._handle).st_size
        except OSError as error:
            raise self._error(error) from error

    def sync(self) -> int:
        """Flush the file to the disk, and return its length in bytes."""
        try:
            os.fsync(self._handle)
            return os.fstat(self._handle).st_size
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with contextlib.suppress(OSError):  # what matters was synced before
                os.close(handle)

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> MtlError:
        return MtlError(f"cannot write {self.path}: {error.strerror}")


def step_line(run: TrainingRun, step: Step) -> dict[str, Any]:
    """Return the line of the metrics file for a step."""
    loss, per_task = run.losses(step)
    line: dict[str, Any] = {"iteration": run.iteration, "loss": loss}
    if per_task:
        line["loss_per_task"] = per_task
    metrics = {name: _number(value) for name, value in step.metrics.items()}
    return {**line, "metrics": metrics, "seconds": round(run.seconds, 3)}


def evaluation_line(run: TrainingRun, evaluation: Evaluation) -> dict[str, Any]:
    """Return the line of the metrics file for an evaluation."""
    splits = {name: asdict(metrics) for name, metrics in evaluation.splits.items()}
    seconds = round(run.seconds, 3)
    return {"iteration": evaluation.iteration, "evaluation": splits, "seconds": seconds}


class Progress:
    """A progress bar shows loss, entropy, rate and time left; a line for every evaluation.

    Where the console is no terminal, there are only the lines. They hold no test metrics unless the
    console's ``show_test`` asks for them: whoever sees them during training is tempted to choose
    by them.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._show_test = bool(getattr(console, "show_test", False))
        self._bar = Bar(ProgressLine(console), console=console, disable=not console.is_terminal)
        self._first = (0, 0.0)

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Show the bar."""
        self._first = (run.iteration, run.seconds)
        self._row = self._bar.add_task(
            run.strategy_name,
            total=run.iterations,
            completed=run.iteration,
            figures=(),
            since=time.monotonic(),
        )
        self._bar.start()

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Move the bar; figures are read only when the device need not be waited for."""
        if self._bar.disable:
            return
        self._bar.update(self._row, completed=run.iteration, since=time.monotonic())
        figures = step_figures(run, step, self._first)
        if figures:
            self._bar.update(self._row, figures=figures)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Print a line for an evaluation."""
        text = evaluation_text(run, evaluation, self._show_test)
        if text:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop updating the bar."""
        self._bar.stop()


class NotebookProgress:
    """Below a notebook's cell a bar shows the progress, and a line every evaluation."""

    def __init__(self) -> None:
        self._bar: NotebookBar | None = None
        self._first = (0, 0.0)

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Show the bar."""
        self._first = (run.iteration, run.seconds)
        self._bar = NotebookBar(run.strategy_name, run.iterations)
        self._bar.show(run.iteration, force=True)

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Move the bar."""
        assert self._bar is not None
        if self._bar.is_due or run.iteration == run.iterations:
            text = " · ".join(step_figures(run, step, self._first))
            self._bar.show(run.iteration, text, force=True)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Print a line for an evaluation."""
        text = evaluation_text(run, evaluation, show_test=False)
        if text and self._bar is not None:
            self._bar.add(text)

    def close(self) -> None:
        """Show the last state."""
        if self._bar is not None:
            self._bar.show(self._bar.done, force=True)


def step_figures(run: TrainingRun, step: Step, first: tuple[int, float]) -> list[str]:
    """Return loss, rate and entropy as texts, or none if reading them would wait for the device.

    Args:
        run: the run that did the step.
        step: the newest step.
        first: iteration and seconds at which this part of the run began.
    """
    new = run.iteration == first[0] + 1
    if run.device.type != "cpu" and not new and run.iteration % run.log_every:
        return []
    loss, _ = run.losses(step)
    figures = [] if loss is None else [f"loss {loss:.3f}"]
    elapsed = max(run.seconds - first[1], 1e-9)
    figures.append(f"{(run.iteration - first[0]) / elapsed:.1f} it/s")
    entropy = _number(step.metrics.get("entropy", math.nan))
    if isinstance(entropy, float):
        figures.append(f"entropy {entropy:.3f}")
    return figures


def evaluation_text(run: TrainingRun, evaluation: Evaluation, show_test: bool) -> str:
    """Describe an evaluation in one line; test metrics only with ``show_test``."""
    metrics = {task.name: task.metric for task in run.suite.tasks}
    figures = [
        f"{name} {split_text(split, metrics)}"
        for name, split in evaluation.splits.items()
        if name != "test" or show_test
    ]
    if not figures:
        return ""
    unit = f"{next(iter(metrics.values()))}: " if len(set(metrics.values())) == 1 else ""
    return f"iteration {evaluation.iteration}/{run.iterations}: {unit}{', '.join(figures)}"


class Observers:
    """A run has observers of the host, of plugins, and of its config; all are told together.

    Of several processes only the first one has any.

    Args:
        plugins: the plugins, with their observing hooks.
        console: shows messages and the progress bar; ``None``: nothing is shown.
    """

    def __init__(self, plugins: Plugins, console: Console | None) -> None:
        self._plugins = plugins
        self._console = console if is_first() else None
        self._own: list[MetricsFile | Progress | NotebookProgress] = []

    @contextlib.contextmanager
    def watching(
        self, run: TrainingRun, metrics: MetricsFile | None, config: RunConfig
    ) -> Iterator[None]:
        """Tell everyone inside; observers are closed when the block ends, however it ends."""
        if metrics is None:
            yield
            return
        with contextlib.ExitStack() as stack:
            self._run = run
            self._own = [metrics]
            if self._console is not None:
                notebook = getattr(self._console, "notebook", False)
                self._own.append(NotebookProgress() if notebook else Progress(self._console))
            for observer in self._own:
                stack.callback(observer.close)
            stack.enter_context(self._plugins.observing(config.observers))
            yield

    def tell(self, hook: str, **values: Any) -> None:
        """Call a hook of every observer, the host's own first."""
        if not is_first():
            return
        for observer in self._own:
            if hasattr(observer, hook):
                getattr(observer, hook)(run=self._run, **values)
        self._plugins.notify(hook, run=self._run, **values)

    def say(self, text: str) -> None:
        """Print a line for the user."""
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _number(value: Any) -> Any:
    """Convert a metric for JSON: a number or nested lists; what is not finite becomes null.

    Tensors, and numpy's arrays and numbers, become plain ones.
    """
    return _finite(value.tolist() if hasattr(value, "tolist") else value)


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
