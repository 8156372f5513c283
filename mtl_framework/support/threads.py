"""Threads of numerical libraries are told to sleep while they wait for each other."""

import os


def sleep_while_waiting() -> None:
    """Let OpenMP threads that wait give up their processor, unless the user has decided about it.

    Every operation of torch on several threads ends with a wait for the slowest one. By default a
    thread that waits spins; where another program holds one of the processors, it spins until that
    program is put aside. OpenMP reads ``OMP_WAIT_POLICY`` when torch is imported: call this before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
