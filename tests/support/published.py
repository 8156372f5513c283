"""Counts and checksums, for the tests of published suites."""

import hashlib
from pathlib import Path


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


# -- Omniglot ----------------------------------------------------------------------------------

HALVES = {
    "images_background": {"Greek": 3, "Latin": 2, "Korean": 4},
    "images_evaluation": {"Tengwar": 2, "Angelic": 3},
}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
