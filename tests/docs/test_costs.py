"""Pages of strategies say what these cost, when to use them, and where their results stand."""

import re
from pathlib import Path

import pytest
from support.programs import load_program

from mtl_framework.plugins.manager import Plugins

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "strategies"


COSTS = load_program(ROOT / "tools" / "costs.py")


def test_every_strategy_has_a_row_on_a_page() -> None:
    text = "".join(page.read_text() for page in COSTS.pages())
    rows = set(re.findall(r"^\| `(\w+)[^`]*` \| [\d,.]+ M ", text, re.M))
    assert set(Plugins.load().names("strategy")) <= rows
    for page in COSTS.pages():
        for found in COSTS.TABLE.finditer(page.read_text()):
            asked = [word for word in found["command"].split() if re.match(r"[a-z]", word)][1:]
            named = [word for word in asked if f"| `{word}` |" in found["table"]]
            assert named, f"{page.name}: no row of {found['command']}"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_says_cost_use_and_results(page: Path) -> None:
    if page.stem == "index":
        return
    text = page.read_text()
    assert page in COSTS.pages()
    assert "## When to use it" in text
    assert "../results.md#" in text


def test_a_table_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    block = "```sh\npython benchmarks/cost.py some --suite digits\n```\n"
    text = f"{block}\n| old |\n|---|\n\nAnd so on.\n"
    asked = []

    def table(command: str) -> str:
        asked.append(command)
        return "| new |\n|---|\n"

    monkeypatch.setattr(COSTS, "table", table)
    assert COSTS.written(text) == text.replace("old", "new")
    assert asked == ["benchmarks/cost.py some --suite digits"]


def test_a_wrong_command_is_one_line() -> None:
    with pytest.raises(SystemExit, match=r"nothing.*\n.*unknown strategy 'nothing'"):
        COSTS.table("benchmarks/cost.py nothing")


@pytest.mark.long
@pytest.mark.parametrize("page", COSTS.pages(), ids=lambda page: page.stem)
def test_pages_have_the_tables_of_their_commands(page: Path) -> None:
    assert COSTS.written(page.read_text()) == page.read_text()
