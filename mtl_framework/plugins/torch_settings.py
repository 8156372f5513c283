"""torch's global settings are read and put back: a plugin may change them in a call only."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class TorchSettings:
    """This object holds torch's global settings at one moment; messages use its fields' names."""

    default_dtype: Any
    gradients: bool
    deterministic_algorithms: bool
    threads: int
    matmul_precision: str
    cudnn_benchmark: bool
    cudnn_deterministic: bool
    anomaly_detection: bool

    @classmethod
    def now(cls) -> "TorchSettings | None":
        """Read the present settings; ``None`` where torch is not imported yet."""
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "set_grad_enabled"):
            return None
        return cls(
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.is_anomaly_enabled(),
        )

    def apply(self) -> None:
        """Set every setting of torch that differs from this object's."""
        now = TorchSettings.now()
        if now is None or now == self:
            return
        for name, put in _setters().items():
            if getattr(now, name) != getattr(self, name):
                put(getattr(self, name))

    def changes(self, later: "TorchSettings") -> str:
        """Say what has changed since: ``default dtype from torch.float32 to torch.float64``."""
        return ", ".join(
            f"{field.name.replace('_', ' ')} from {getattr(self, field.name)} to "
            f"{getattr(later, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(later, field.name)
        )


def _setters() -> dict[str, Callable[[Any], object]]:
    import torch

    def set_cudnn(name: str) -> Callable[[Any], object]:
        return lambda value: setattr(torch.backends.cudnn, name, value)

    return {
        "default_dtype": torch.set_default_dtype,
        "gradients": torch.set_grad_enabled,
        "deterministic_algorithms": torch.use_deterministic_algorithms,
        "threads": torch.set_num_threads,
        "matmul_precision": torch.set_float32_matmul_precision,
        "cudnn_benchmark": set_cudnn("benchmark"),
        "cudnn_deterministic": set_cudnn("deterministic"),
        "anomaly_detection": torch.autograd.set_detect_anomaly,
    }
