"""Writes the tables of what strategies cost, from the commands that stand above them.

    python tools/costs.py               all pages of docs/strategies (minutes)
    python tools/costs.py sluice nddr   some of them

A table belongs to a command of ``benchmarks/cost.py`` in a block of code, and is the first thing
behind it. Counts are the same on every machine, so that a test can run the commands again.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mtl_framework.support.files import write_text

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "strategies"
TABLE = re.compile(
    r"(?P<begin>```sh\npython (?P<command>benchmarks/cost\.py[^`]*)\n```\n\n)(?P<table>(?:\|.*\n)+)"
)


def pages(names: Sequence[str] = ()) -> list[Path]:
    """Return the pages that have such tables, or those of them that are named.

    Raises:
        SystemExit: a named page has none.
    """
    found = {page.stem: page for page in sorted(PAGES.glob("*.md")) if TABLE.search(_text(page))}
    if odd := [name for name in names if name not in found]:
        sys.exit(f"no page {odd[0]!r} with a table of costs; there are {', '.join(found)}")
    return [found[name] for name in names or found]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def table(command: str) -> str:
    """Run a command, given as it stands on a page, and return the table that it prints."""
    words = shlex.split(command.replace("\\\n", " "))
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{command}\n{done.stderr.strip().splitlines()[-1]}")
    return "".join(line + "\n" for line in done.stdout.splitlines() if line.startswith("|"))


def written(text: str) -> str:
    """Return a page's text with its tables as the commands print them."""
    return TABLE.sub(lambda found: found["begin"] + table(found["command"]), text)


def main() -> None:
    """Write the pages that the command line names, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="names of pages, such as sluice")
    for page in pages(parser.parse_args().names):
        text = written(_text(page))
        if text != _text(page):
            write_text(page, text)
            print(page.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    main()
