"""One program of all tasks against the tasks' own networks, one after another.

    python benchmarks/joint.py

The tasks have a common input and share the first units of a ResNet18: all of them, six of eight,
or none. Both sides are files, of torch.export and of onnxruntime, read back and run on the same
images.
``alone / joint`` says how many times as fast the joint program is; what is aimed at follows from
the multiply-adds that it saves.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import Row, arguments, at_least, finish, in_turn
from torch.utils.flop_counter import FlopCounterMode

from mtl_framework import load_run
from mtl_framework.export import (
    export_joint,
    export_joint_onnx,
    export_onnx,
    export_program,
)
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.load import LoadedRun
from mtl_framework.runs.run import Run

SHARE = 0.8  # of what the saved operations promise
Call = Callable[[], object]


def trained(folder: Path, shared: int, size: int) -> LoadedRun:
    """A run of a single step, in which all tasks share the first units."""
    config = RunConfig.model_validate(
        {
            "strategy": {"name": "fixed_sharing", "shared_first": shared},
            "suite": {"name": "digits", "size": size},
            "backbone": {"name": "resnet18", "small_images": True},
            "iterations": 1,
            "device": "cpu",
        }
    )
    Run.start(config, Plugins.load(), folder).execute()
    return load_run(folder)


def torch_calls(run: LoadedRun, folder: Path, images: torch.Tensor) -> tuple[Call, Call]:
    """The joint program, and all tasks' own ones, on some images."""
    export_joint(run, folder / "joint")
    joint: Any = torch.export.load(folder / "joint" / "joint.pt2").module()
    alone: list[Any] = []
    for name in run.suite.task_names:
        export_program(run, name, folder / name)
        alone.append(torch.export.load(folder / name / "model.pt2").module())
    return lambda: joint(images), lambda: [program(images) for program in alone]


def onnx_calls(
    run: LoadedRun, folder: Path, images: torch.Tensor, threads: int
) -> tuple[Call, Call]:
    """The same in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def session(file: Path) -> Any:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    export_joint_onnx(run, folder / "joint")
    joint = session(folder / "joint" / "joint.onnx")
    alone = []
    for name in run.suite.task_names:
        export_onnx(run, name, folder / name)
        alone.append(session(folder / name / "model.onnx"))
    inputs = {"inputs": images.numpy()}
    return lambda: joint.run(None, inputs), lambda: [s.run(None, inputs) for s in alone]


def saved(run: LoadedRun, shared: int, images: torch.Tensor) -> float:
    """Multiply-adds of all tasks' networks, over those of the joint program."""
    networks = [run.network.extract(task) for task in range(len(run.suite.tasks))]
    with FlopCounterMode(display=False) as counter:
        for network in networks:
            network(images)
    total = counter.get_total_flops()
    once = 0.0
    stem_and_shared = ["conv1", *(f"layer{1 + n // 2}.{n % 2}" for n in range(shared))]
    by_module: Any = counter.get_flop_counts()
    for name in stem_and_shared:
        once += sum(by_module.get(f"{type(networks[0]).__name__}.{name}", {}).values())
    # the counter adds up what modules of one name do: of the tasks' shared parts one is left
    ratio: float = total / (total - once * (len(networks) - 1) / len(networks))
    return ratio


def main() -> None:
    options = arguments((__doc__ or "").splitlines()[0])
    size, count, repeats = (16, 8, 5) if options.quick else (28, 32, 15)
    images = torch.rand(count, 1, size, size)
    rows: list[Row] = []
    for shared in (6,) if options.quick else (8, 6, 0):
        with TemporaryDirectory() as folder:
            place = Path(folder)
            run = trained(place / "run", shared, size)
            promised = saved(run, shared, images)
            kinds = {
                "torch.export": torch_calls(run, place / "torch", images),
                "onnxruntime": onnx_calls(run, place / "onnx", images, options.threads),
            }
            for kind, (joint, alone) in kinds.items():
                with torch.no_grad():
                    together, apart = in_turn(joint, alone, repeats)
                rows.append(
                    at_least(
                        f"{kind}, {shared} of 8 units shared by 3 tasks",
                        apart / together,
                        round(SHARE * promised, 2),
                        operations=round(promised, 2),
                        joint_ms=round(1000 * together, 1),
                        alone_ms=round(1000 * apart, 1),
                    )
                )
    finish(rows, options)


if __name__ == "__main__":
    main()
