"""Runs the benchmark of truth: which sharing is best, and is it the sharing?

    python examples/benchmark/run.py --data-root DATA --workers 2            everything (days)
    python examples/benchmark/run.py two_groups --recipes plain --budgets examples
    python examples/benchmark/run.py --data-root DATA --dry-run              how long it would take

Every suite has a config beside this file: full, no and learned sharing, a sharing by hand, and
controls. Each is run with the plain recipe (Adam at a constant rate) and with a good one
(``good_recipe.yaml``), at equal examples (the config's iterations) and at equal time (``SECONDS``).
A further recipe (``short_memory_recipe.yaml``) is run only if it is named. Every comparison has a
folder below ``--output``, with the config that was run beside it; the same command goes on where it
was stopped.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
#: Training time of a run at equal time: roughly that of learned sharing at equal examples, with its
#: defaults on alphabets and Omniglot, as in the paper elsewhere.
SECONDS = {"alphabets": 75, "dkl": 900, "omniglot": 100, "tiny_imagenet": 1500, "two_groups": 5}
WITHOUT_PICTURES = {"two_groups"}
RECIPES, BUDGETS = ("plain", "good"), ("examples", "time")
FURTHER_RECIPES = ("short_memory",)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one config over another: mappings are merged, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def config_of(suite: str, recipe: str, budget: str) -> dict[str, Any]:
    """Return a comparison's config: that of a suite, over the recipe, with the budget."""
    below = (
        {} if recipe == "plain" else yaml.safe_load((HERE / f"{recipe}_recipe.yaml").read_text())
    )
    if suite in WITHOUT_PICTURES:
        below.pop("augmentation", None)
    values = merged(below, yaml.safe_load((HERE / f"{suite}.yaml").read_text()))
    return values if budget == "examples" else {**values, "seconds": SECONDS[suite]}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="Further arguments, such as --workers 2, --seeds 3, --only 'no sharing' or "
        "--dry-run, go to mtl compare.",
    )
    parser.add_argument("suites", nargs="*", default=sorted(SECONDS), help="default: all")
    recipes = (*RECIPES, *FURTHER_RECIPES)
    parser.add_argument("--recipes", nargs="+", choices=recipes, default=RECIPES)
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=BUDGETS)
    parser.add_argument("--data-root", type=Path, help="folder with the .npz files")
    parser.add_argument("--output", type=Path, default=Path("comparisons") / "benchmark")
    given, rest = parser.parse_known_args()
    if odd := [suite for suite in given.suites if suite not in SECONDS]:
        parser.error(f"unknown suite {odd[0]!r}; there are {', '.join(sorted(SECONDS))}")
    mtl = str(Path(sys.executable).with_name("mtl"))
    for suite in given.suites:
        for recipe in given.recipes:
            for budget in given.budgets:
                values = config_of(suite, recipe, budget)
                folder = given.output / f"{suite}-{recipe}-{budget}"
                given.output.mkdir(parents=True, exist_ok=True)
                file = folder.with_suffix(".yaml")
                file.write_text(yaml.safe_dump(values, sort_keys=False))
                command = [mtl, "compare", str(file), "--output", str(folder)]
                if isinstance(values["suite"], dict) and "path" in values["suite"]:
                    if given.data_root is None:
                        parser.error(f"{suite} reads data: name its folder with --data-root")
                    command += ["--data-root", str(given.data_root)]
                print(" ".join([*command, *rest]), flush=True)
                subprocess.run([*command, *rest], check=True)


if __name__ == "__main__":
    main()
