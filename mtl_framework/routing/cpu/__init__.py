"""This room does what pays on a CPU only: rows of a path together, pooling before normalising.

:data:`ENABLED` is the one switch. Without it rows on a CPU are routed and normalised as on any
other device; networks that are built afterwards compute the same numbers, slower.
"""

import torch

ENABLED = True


def suits(device: torch.device) -> bool:
    """Say whether what is meant for a CPU pays for rows on a device."""
    return ENABLED and device.type == "cpu"
