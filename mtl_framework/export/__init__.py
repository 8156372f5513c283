"""Tasks' networks are exported as weights for timm, as programs, as ONNX, or all together."""

from .bundle import TaskBundle, export_all, load_bundle
from .joint import export_joint
from .network_file import export_network, load_network
from .onnx_file import export_joint_onnx, export_onnx
from .program import export_program

__all__ = [
    "TaskBundle",
    "export_all",
    "export_joint",
    "export_joint_onnx",
    "export_network",
    "export_onnx",
    "export_program",
    "load_bundle",
    "load_network",
]
