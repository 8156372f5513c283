"""Figures show names in any script, without boxes and without warnings."""

import warnings

import pytest

from mtl_framework.reports import scripts
from mtl_framework.reports.figure import new_figure, png, shortened, style, svg
from mtl_framework.reports.scripts import fonts_for, make_drawable

NAMES = ["数字と文字", "عمر المريض", "😀 faces", "한국어", "हिन्दी", "Größe", "Ωμέγα", "a_b"]


@pytest.mark.filterwarnings("error")
def test_names_of_any_script_are_drawn_without_warnings() -> None:
    with style():
        figure = new_figure(4, 3)
        axes = figure.add_subplot()
        axes.barh(range(len(NAMES)), range(len(NAMES)), label="日本")
        axes.set_yticks(range(len(NAMES)), NAMES)
        axes.set_title("Título 标题")
        axes.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png(figure).startswith(b"\x89PNG")
        assert "<svg" in svg(figure)


def test_what_no_font_has_is_written_in_latin_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "_system_fonts", lambda: ())
    fonts = fonts_for(NAMES)
    assert fonts.families == ()
    assert fonts.drawable("数字") == "ShuZi"
    assert fonts.drawable("한국어 1") == "HanGugEo 1"
    for name in ("Größe", "Ωμέγα", "a_b"):
        assert fonts.drawable(name) == name
    assert all(scripts._has(scripts._own_file(), c) for n in NAMES for c in fonts.drawable(n))


def test_letters_that_join_need_a_matplotlib_that_joins_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scripts, "_shapes", lambda: False)
    assert fonts_for(["عمر"]).drawable("عمر").isascii()
    monkeypatch.setattr(scripts, "_shapes", lambda: True)
    assert fonts_for(["عمر"]).drawable("عمر") == "عمر"


def test_a_font_of_the_system_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real = scripts._has

    def has(file: str, character: str) -> bool:
        return real(file, character) if file != "cjk.ttf" else character in "数字"

    monkeypatch.setattr(scripts, "_has", has)
    monkeypatch.setattr(scripts, "_system_fonts", lambda: (("Some CJK", "cjk.ttf"),))
    fonts = fonts_for(["数字", "abc"])
    assert fonts.families == ("Some CJK",)
    assert fonts.drawable("数字") == "数字"


def test_labels_of_axes_are_exchanged_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "_system_fonts", lambda: ())
    figure = new_figure(2, 2)
    axes = figure.add_subplot()
    axes.set_xticks([0, 1], ["数字", "b"])
    make_drawable(figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ShuZi", "b"]


def test_dollar_signs_and_long_names_are_no_formulas_and_no_figures_width() -> None:
    names = ["price $x$", "$\\frac{$", "y" * 300]
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = new_figure(6, 3)
        for axes, name in zip(figure.subplots(1, 3), names, strict=True):
            axes.set_title(shortened([name], 30)[0])
            axes.set_xticks([0, 1], ["$\\a$", "b$c"])
        drawn = svg(figure)
    assert "<!-- price $x$ -->" in drawn
    assert "<!-- $\\frac{$ -->" in drawn
    assert "<!-- $\\a$ -->" in drawn
