"""Mutated files of a run: each is refused by one line, or read for what it says.

Digests of checkpoints are made to fit again after a mutation, as those of somebody who means harm
would be.
"""

import copy
import hashlib
import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from support.tiny import TinyPlugins, start, tiny_config

from mtl_framework.comparisons.find import find
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

from .configs import checked

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**70, 1e308, -0.5, "", "x" * 5000, "\x1b[2J", [], {}, [[]],
    {"dict": []}, {"tuple": [1]}, {"float": "nan"}, {"tensor": "/nowhere"},
    {"zeros": ["z", [3], "float32"]},
)  # fmt: skip


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in nested JSON."""
    yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from places(value, (*path, number))


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of nested JSON with one value exchanged."""
    if not path:
        return value
    tree = copy.copy(tree)
    tree[path[0]] = replaced(tree[path[0]], path[1:], value)
    return tree


def mutate_json(text: str, generator: random.Random) -> str:
    """Another value somewhere in a JSON text."""
    tree = json.loads(text)
    path = generator.choice(list(places(tree)))
    value = generator.choice(ODD)
    return json.dumps(replaced(tree, path, value))


def mutate_bytes(data: bytes, generator: random.Random) -> bytes:
    """Cut, changed or doubled bytes."""
    kind = generator.randrange(4)
    at = generator.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + generator.randbytes(8) + data[at + 8 :]
    if kind == 2:
        return data + data[at:]
    return generator.randbytes(at % 300)


def mutate_tensor(file: Path, generator: random.Random) -> None:
    """Another shape, dtype or content of one tensor."""
    tensors = safetensors.torch.load(file.read_bytes())
    name = generator.choice(sorted(tensors))
    old = tensors[name]
    shapes = [(), (0,), (1,), (3,), (2, 2), (*old.shape, 1), tuple(n + 1 for n in old.shape)]
    dtypes = [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16]
    kind = generator.randrange(4)
    if kind == 0:
        tensors[name] = torch.ones(generator.choice(shapes), dtype=old.dtype)
    elif kind == 1:
        tensors[name] = old.to(generator.choice(dtypes))
    elif kind == 2:
        del tensors[name]
    else:
        tensors[name] = torch.full(old.shape, generator.choice([0, 255, -1, math.inf])).to(
            old.dtype
        )
    safetensors.torch.save_file(tensors, file)


def sign(folder: Path, stem: str) -> None:
    """Make the digests of a checkpoint fit its content."""
    json_file, tensor_file = (folder / f"{stem}{suffix}" for suffix in (".json", ".safetensors"))
    text = json_file.read_text()
    body = json.loads(text[text.index('"body": ') + 8 : -2])
    if isinstance(body, dict):
        body["tensors"] = hashlib.sha256(tensor_file.read_bytes()).hexdigest()
        base = body.get("base")
        if isinstance(base, dict) and isinstance(base.get("stem"), str):
            file = folder / f"{base['stem']}.safetensors"
            if file.is_file():
                base["tensors"] = hashlib.sha256(file.read_bytes()).hexdigest()
    inner = json.dumps(body)
    digest = hashlib.sha256(inner.encode()).hexdigest()
    json_file.write_text(f'{{"sha256": "{digest}", "body": {inner}}}\n')


def mutate(run: Path, generator: random.Random) -> None:
    """Damage one file of a run."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name[0] != ".")
    file = generator.choice(files)
    signed = file.parent.name == "checkpoint" and generator.random() < 0.8
    if signed and file.suffix == ".safetensors":
        mutate_tensor(file, generator)
    elif signed:
        text = file.read_text()
        start_of_body = text.index('"body": ') + 8
        body = mutate_json(text[start_of_body:-2], generator)
        file.write_text(f"{text[:start_of_body]}{body}}}\n")
    elif file.suffix in (".json", ".jsonl") and generator.random() < 0.7:
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        number = generator.randrange(len(lines))
        lines[number] = mutate_json(lines[number], generator)
        file.write_text("\n".join(lines) + "\n")
    else:
        file.write_bytes(mutate_bytes(file.read_bytes(), generator))
    if signed:
        for path in sorted((run / "checkpoint").glob("*.json")):
            sign(run / "checkpoint", path.stem)


def uses(plugins: TinyPlugins, strategy: str) -> dict[str, Callable[[Path], object]]:
    """What users do with a run's folder."""

    def resume(folder: Path) -> object:
        config = tiny_config(strategy, iterations=4)
        return Run.start(config, plugins, folder, resume=True).execute()

    return {
        "load": lambda folder: load_run(folder, plugins=plugins).evaluate(),
        "best": lambda folder: load_run(folder, which="best", plugins=plugins),
        "report": lambda folder: find([folder]),
        "resume": resume,
    }


class RunFiles:
    """One file of a small finished run is damaged, then the run is loaded, resumed or reported."""

    def __init__(self, folder: Path) -> None:
        self.whole = {}
        for strategy in ("learned", "soft"):
            self.whole[strategy] = folder / strategy
            start(self.whole[strategy], strategy=strategy, iterations=3, eval_every=2).execute()

    def attempt(self, number: int, generator: random.Random, folder: Path) -> str:
        """Damage a copy, and use it."""
        strategy = generator.choice(sorted(self.whole))
        damaged = folder / "run"
        shutil.copytree(self.whole[strategy], damaged)
        mutate(damaged, generator)
        what, use = generator.choice(sorted(uses(TinyPlugins(), strategy).items()))
        try:
            use(damaged)
        except MtlError as error:
            return f"{what}: {checked(str(error))}"
        return f"{what}: read"
