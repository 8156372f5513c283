"""An option that a message advises sets what it says when it is pasted into a shell."""

import shlex
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given
from mtl_suites.options import option
from mtl_suites.table import table

from mtl_framework.runs.settings import parse_setting
from mtl_framework.support.arguments import check_arguments

# Cells are stripped; messages put one blank for any space, so that runs of them have to be coded
TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    | st.text(st.sampled_from("ab019 .,:;-+_'\"\\[]{}#&*!|>%@`~=$?/\t"), min_size=1, max_size=8)
    | st.sampled_from(["no", "Yes", "null", "~", "1e3", "1.50", "007", "0x1F", "12:30", "---"])
).map(str.strip).filter(bool)  # fmt: skip


def pasted(text: str) -> dict[str, Any]:
    """What a shell, the command line and the check of options make of a text in a message."""
    (word,) = shlex.split(" ".join(text.split()))
    setting = parse_setting(word)
    _, name, task = setting.key
    return dict(check_arguments(table, {"path": "t", name: {task: setting.value}}, ("suite",)))


@given(task=st.sampled_from(["w", "a.b", 'say "no"', "it's", "a b"]), value=TEXTS)
@example("w", "1,234.5")
@example("w", "a  b")
@example("w", "\x85")
def test_any_text_comes_back(task: str, value: str) -> None:
    assert pasted(option("missing", task, value))["missing"] == {task: [value]}


@given(st.lists(TEXTS, min_size=2, max_size=3))
def test_several_texts_come_back(values: list[str]) -> None:
    assert pasted(option("missing", "w", *values))["missing"] == {"w": values}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("none", "suite.missing.w=none"),
        ("N/A", "suite.missing.w=N/A"),
        ("k.A.", "suite.missing.w=k.A."),
        ("-999", "suite.missing.w=-999"),
        ("0.5", "suite.missing.w=0.5"),
        ("not known", "'suite.missing.w=not known'"),
        ("1,234.5", "'suite.missing.w=[\"1,234.5\"]'"),
    ],
)
def test_quotes_stand_only_where_they_are_needed(value: str, text: str) -> None:
    assert option("missing", "w", value) == text


def test_kinds_are_options_like_these() -> None:
    assert pasted(option("kinds", "a.b", "numbers"))["kinds"] == {"a.b": "numbers"}
