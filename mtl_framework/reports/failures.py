"""Failed runs are told by cause, after a line on what helps."""

from collections.abc import Sequence

from ..runs.records import RunRecord
from ..support.causes import Cause, find_causes

# Remedies for causes that name none themselves, by a part of the causes' text in lower case.
_REMEDIES = {
    "out of memory": "let fewer runs work at a time (--workers), or set memory_budget",
    "allocate memory": "let fewer runs work at a time (--workers), or set memory_budget",
    "is nan at iteration": "lower the learning rate, or set training.clip",
    "not finite at iteration": "lower the learning rate, or set training.clip",
    "no space left": "make room on the disk",
    "another process is at work": "wait for the other process, or end it",
}


def failures(records: Sequence[RunRecord]) -> list[Cause]:
    """Group failed runs by cause, the most frequent one first, each with its folder.

    Args:
        records: runs in any state; the path of a failed run's own folder is no part of its cause.
    """
    failed = [record for record in records if record.state == "failed"]
    return find_causes((str(record.directory), _reason(record)) for record in failed)


def failure_lines(records: Sequence[RunRecord]) -> list[str]:
    """Say in a line how many runs failed and what to do, then each cause in a line.

    Args:
        records: all runs of a comparison.

    Returns:
        the lines; none where no run failed.
    """
    causes = failures(records)
    if not causes:
        return []
    failed = sum(len(cause.faults) for cause in causes)
    leading = causes[0].what.lower()
    remedy = next((text for part, text in _REMEDIES.items() if part in leading), None)
    if remedy is None:
        remedy = (
            "put right what is said below" if len(causes) == 1 else "put right what comes first"
        )
    runs = f"{failed} of {len(records)} runs" if len(records) > 1 else "one run"
    return [
        f"{runs}: {remedy}, then give the same command again: finished runs are kept, and "
        "traceback.txt in a failed run's folder has the details",
        *(line for cause in causes for line in cause.lines(most_single=1)),
    ]


def _reason(record: RunRecord) -> str:
    text = record.error or "no reason was written"
    for folder in (record.directory.resolve(), record.directory):
        text = text.replace(str(folder), "its folder")
    return text
