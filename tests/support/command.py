"""The command line, run in the process of a test."""

from pathlib import Path

import pytest

from mtl_framework.cli import main


def status(*arguments: str | Path | int) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code
