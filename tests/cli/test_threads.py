"""Threads of the command's process sleep while they wait, unless the user decided otherwise."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from mtl_framework.cli import main
assert "torch" not in sys.modules
try:
    main(["--version"])
except SystemExit:
    print(os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize(("given", "policy"), [(None, "passive"), ("active", "active")])
def test_threads_sleep_unless_asked_to_spin(given: str | None, policy: str) -> None:
    others = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment = others if given is None else {**others, "OMP_WAIT_POLICY": given}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == policy
