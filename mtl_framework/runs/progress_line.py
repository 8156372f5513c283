"""A line shows a run's progress, whole at every width of the terminal."""

import time
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

_LONG = 2.0  # seconds after which a step says that it is still at work
_LEAST_BAR, _MOST_BAR = 6, 40
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_A_SECOND = 12.5


class ProgressLine(ProgressColumn):
    """This column shows name, bar, steps, figures and time in one line that is never cut.

    What does not fit goes, the least important first: the bar, the last figures, the time left,
    how long the present step takes; never the strategy's name and the number of steps.

    Args:
        console: the console into whose width the line fits.
    """

    max_refresh = None

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        """Return the line; ``figures`` of the task are texts, the most important first."""
        total = int(task.total or 0)
        steps = f"{int(task.completed):>{len(str(total))}}/{total}"
        figures: Sequence[str] = task.fields["figures"]
        since = time.monotonic() - task.fields["since"]
        step = [f"this step {since:.0f} s"] if since > _LONG else []
        left = [] if task.time_remaining is None else [_duration(task.time_remaining)]
        room = self._console.width - 1 - 2 - cell_len(task.description) - 1 - cell_len(steps)
        chosen: list[str] = []
        for text in (*step, *left, *figures):  # by importance
            if cell_len(text) + 3 <= room:
                chosen.append(text)
                room -= cell_len(text) + 3
        shown = [text for text in (*figures, *step, *left) if text in chosen]
        frame = _FRAMES[int(time.monotonic() * _FRAMES_A_SECOND) % len(_FRAMES)]
        line = Text(f"{frame} {task.description} ", no_wrap=True, overflow="crop")
        if room - 1 >= _LEAST_BAR:
            line.append_text(_bar(int(task.completed), total, min(room - 1, _MOST_BAR)))
            line.append(" ")
        line.append(steps)
        for text in shown:
            line.append(f" · {text}", "dim" if text in step else "")
        return line


def _bar(done: int, total: int, width: int) -> Text:
    filled = round(width * min(1.0, done / max(total, 1)))
    return Text.assemble(("━" * filled, "green"), ("━" * (width - filled), "bright_black"))


def _duration(seconds: float) -> str:
    """``0:45`` or ``1:02:45`` left."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"
