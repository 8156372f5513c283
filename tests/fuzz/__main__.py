"""``python tests/fuzz PART --count N``: bad input of one kind, see harness.py."""

import argparse
import os
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

PARTS = {
    "configs": "fuzz.configs:Configs",
    "run_files": "fuzz.run_files:RunFiles",
    "data_files": "fuzz.data_files:DataFiles",
    "plugins": "fuzz.misbehaving:Misbehaving",
}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--count", type=int, required=True, help="cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="of outcomes; default: build/fuzz/PART-SEED.jsonl")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    here = Path(__file__).parent
    sys.path = [str(here.parent), *(p for p in sys.path if Path(p or ".").resolve() != here)]
    log = given.log or Path("build") / "fuzz" / f"{given.part}-{given.seed}.jsonl"
    if given.work:
        from fuzz.harness import work

        module, _, name = PARTS[given.part].partition(":")
        work(getattr(import_module(module), name), given.first, given.count, given.seed, log)
        return
    from fuzz.watch import watch

    tried: list[dict[str, Any]] = watch(given.part, given.count, given.seed, log)[: given.count]
    for outcome, number in sorted(Counter(entry["outcome"] for entry in tried).items()):
        print(f"{outcome}: {number}")
    faults = [entry for entry in tried if "fault" in entry]
    for entry in faults:
        print(f"case {entry['case']} of seed {given.seed}: {entry['fault']}")
    print(f"{given.part}: {len(tried)} cases, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
