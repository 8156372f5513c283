"""Mutated configs of runs and comparisons: each resolves, or is refused by one line."""

import random
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from support.tiny import TinyPlugins

from mtl_framework.cli.console import say_error
from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import make_grid
from mtl_framework.runs.resolve import read_file, resolve
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

from .harness import FaultError

GOOD: dict[str, Any] = {
    "strategy": {"name": "learned", "weights_per_unit": 2, "p_min": 0.01, "initialization": None},
    "suite": {"name": "tiny", "examples": 24, "validation": True},
    "backbone": {"name": "tiny", "shared": ["stem"], "args": {}, "granularity": "block"},
    "training": {"optimizer": {"name": "adam"}, "learning_rate": 0.01, "clip": 1.0},
    "iterations": 3,
    "batch_size": 8,
    "eval_batch_size": 4,
    "eval_every": 2,
    "log_every": 1,
    "seed": 0,
    "device": "cpu",
    "precision": "fp32",
    "observers": [],
    "memory_budget": None,
    "task_backbones": {},
    "keep": "both",
}
COMPARISON: dict[str, Any] = {
    "suite": {"name": "tiny"},
    "backbones": [{"name": "tiny", "as": "small"}],
    "strategies": ["soft", {"name": "learned", "as": "L", "weights_per_unit": 2}],
    "seeds": 2,
    "iterations": 3,
    "batch_size": 8,
    "device": "cpu",
    "baseline": "soft",
    "significance": 0.05,
    "select": "last",
    "controls": [],
}
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 2**70, 10**400, 1e308, -0.5, 1e-300, "", " ", "auto",
    "x" * 5000, "\x1b[2J", "\ud800", "é̈", "lws", "learned", [], {}, [[]], [None], {"a": 1}, "010",
    {"name": "tiny"}, {"name": None}, "name", float("nan"), float("inf"), "1e9", "2020-01-01",
    [1] * 999,
)  # fmt: skip
KEYS = ("", "name", "as", "preset", "seed", "seeds", "0", "a.b", "<<", "\x1b[0m", "x" * 300, "args")
PIECES = (
    "[", "]", "{", "}", "&a ", "*a", "!!int ", "!!str ",
    "!!python/object/apply:os.system ['true'] ",
    "!!binary ", "!!timestamp ", "? ", "~", "\t", "1e9", ": ", "- ", "<<: ", "\x00", "''", '"',
    "\n", "0x", "null", "9" * 30, "preset: x", "#", "---\n", "...\n", "%YAML 9.9\n", "\ufeff",
    "\u2028",
    "a: &a [*a]\n", "[" * 200, "a: " * 200, "!<tag:yaml.org,2002:python/name:os.system> ",
)  # fmt: skip


class Configs:
    """Edits of values and of texts; what resolves is started, too, where it is small."""

    def __init__(self, folder: Path) -> None:
        self.plugins = TinyPlugins()
        for name, good in (("run", GOOD), ("comparison", COMPARISON)):  # as they are, they are well
            (folder / name).write_text(yaml.safe_dump(good))
        resolve(self.plugins, [read_file(folder / "run")])
        read_comparison(folder / "comparison", self.plugins)

    def attempt(self, number: int, generator: random.Random, folder: Path) -> str:
        """Write a mutated file, and read it."""
        kind = "comparison" if generator.random() < 0.3 else "run"
        good = COMPARISON if kind == "comparison" else GOOD
        file = folder / "c.yaml"
        file.write_bytes(mutated(good, generator))
        try:
            if kind == "comparison":
                make_grid(read_comparison(file, self.plugins))
                return "comparison: read"
            complete = resolve(self.plugins, [read_file(file)])
            Run.start(complete, self.plugins, folder / "run")
        except MtlError as error:
            return f"{kind}: {checked(str(error))}"
        return "run: started"


def checked(message: str) -> str:
    """``refused``, where a message is one line that can be shown.

    Raises:
        FaultError: where it is not.
    """
    said = shown(message)
    if "\n" in said.strip() or "\x1b" in said or len(said) > 20_000:
        raise FaultError(f"not one line of text: {said[:2000]!r}")
    return "refused"


def shown(message: str) -> str:
    """What the command line prints of an error."""
    printed = StringIO()
    with redirect_stderr(printed):
        say_error(message)
    return printed.getvalue()


def mutated(good: dict[str, Any], generator: random.Random) -> bytes:
    """A config file with one to four faults."""
    tree: Any = good
    changes = generator.randrange(1, 5)
    values = generator.randrange(changes + 1)
    for _ in range(values):
        tree = changed(tree, generator)
    try:
        text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, ValueError, UnicodeError):
        text = repr(tree)
    for _ in range(changes - values):
        at, cut = generator.randrange(len(text) + 1), generator.choice([0, 0, 1, 5, 20])
        piece = generator.choice([*PIECES, chr(generator.randrange(0x3000))])
        text = text[:at] + piece + text[at + cut :]
    data = text.encode(errors="surrogatepass")
    if generator.random() < 0.05:
        at = generator.randrange(len(data) + 1)
        data = data[:at] + generator.randbytes(4) + data[at:]
    return data


def changed(tree: Any, generator: random.Random) -> Any:
    """A copy with a value exchanged, a key renamed, added, or an entry lost."""
    if not isinstance(tree, dict | list) or not tree or generator.random() < 0.15:
        return generator.choice(ODD)
    if isinstance(tree, list):
        at = generator.randrange(len(tree))
        return [changed(x, generator) if n == at else x for n, x in enumerate(tree)]
    key = generator.choice(list(tree))
    act = generator.randrange(6)
    if act == 0:
        return {k: v for k, v in tree.items() if k != key}
    if act == 1:
        new = generator.choice(KEYS)
        return {(new if k == key else k): v for k, v in tree.items()}
    if act == 2:
        return {**tree, generator.choice(KEYS): generator.choice(ODD)}
    return {**tree, key: changed(tree[key], generator)}
