"""Python imports this at its start where the folder is in PYTHONPATH: gradients never end.

The first four gradients of a process are made as ever. The next one leaves the process's number in
the file that SLOW_STEP names, and takes ten minutes.
"""

import os
import time
from pathlib import Path
from typing import Any

import torch

_backward = torch.autograd.backward
_left = 4


def _slow(*arguments: Any, **options: Any) -> None:
    global _left
    _left -= 1
    if _left < 0:
        Path(os.environ["SLOW_STEP"]).write_text(str(os.getpid()))
        time.sleep(600)
    _backward(*arguments, **options)


torch.autograd.backward = _slow
