"""Mutated files of a run: what each is refused with, or that it means what it says.

``python tests/fuzz/run_files.py --count 5000`` tries that many mutations with a seed, prints how
many were refused by one line and how many were read, and fails on anything else: a traceback, or
more than ten seconds of work. Digests of checkpoints are made to
fit again after a mutation, as those of somebody who means harm would be.
"""

import argparse
import copy
import hashlib
import json
import math
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.tiny import TinyPlugins, start, tiny_config

from mtl_framework.comparisons.find import find
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

SECONDS = 10.0
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


def fuzz(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try mutations; returns how many of each use were refused or read, and what else happened."""
    torch.set_num_threads(1)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        whole = {}
        for strategy in ("learned", "soft"):
            whole[strategy] = Path(name) / strategy
            start(whole[strategy], strategy=strategy, iterations=3, eval_every=2).execute()
        for number in range(count):
            generator = random.Random(f"{seed} {number}")
            strategy = generator.choice(sorted(whole))
            folder = Path(name) / "damaged"
            shutil.copytree(whole[strategy], folder)
            mutate(folder, generator)
            what, use = generator.choice(sorted(uses(TinyPlugins(), strategy).items()))
            begin = time.process_time()  # the machine may have other things to do
            outcome = outcome_of(use, folder)
            if time.process_time() - begin > SECONDS:
                outcome = f"took {time.process_time() - begin:.0f} seconds"
            if outcome in ("read", "refused"):
                outcomes[f"{what}: {outcome}"] += 1
            else:
                faults.append(f"mutation {number} of seed {seed}, {what}: {outcome}")
            shutil.rmtree(folder)
    return outcomes, faults


def outcome_of(use: Callable[[Path], object], folder: Path) -> str:
    """``read``, ``refused``, or what else using a damaged run led to."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            use(folder)
    except MtlError as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"several lines: {error}"
    except Exception:
        return traceback.format_exc()
    return "read"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()
    outcomes, faults = fuzz(arguments.count, arguments.seed)
    for what, number in sorted(outcomes.items()):
        print(f"{what}: {number}")
    for fault in faults:
        print(fault)
    seconds = time.monotonic() - begin
    print(f"{arguments.count} mutations in {seconds:.0f} s, {len(faults)} not one line")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
