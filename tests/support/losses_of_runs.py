"""Losses that a run has written."""

import json
from pathlib import Path


def losses_of(directory: Path) -> list[float]:
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]
