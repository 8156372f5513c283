"""Handwriting and letters that the embedded suites are made of."""

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.ft2font import FT2Font
from mtl_suites.glyphs import CANVAS, LETTER, SCRIPTS, TEST_FONTS, TRAIN_FONTS, draw, font_file
from mtl_suites.handwriting import NUM_DIGITS, enlarge, handwriting, split_digits

from mtl_framework.data.tasks import SPLITS
from mtl_framework.support.errors import MtlError

# -- handwriting -----------------------------------------------------------------------------------


def test_handwriting_is_what_it_should_be() -> None:
    writing = handwriting()
    assert len(writing.images) == len(writing.labels) == NUM_DIGITS
    assert len(np.unique(writing.images.reshape(NUM_DIGITS, -1), axis=0)) == NUM_DIGITS
    assert (writing.images.min(), writing.images.max()) == (0, 255)


@settings(max_examples=15)
@given(st.data())
def test_no_digit_is_in_two_splits(data: st.DataObject) -> None:
    test = data.draw(st.integers(40, 1500))
    validation = data.draw(st.integers(40, NUM_DIGITS - test - 40))
    train = data.draw(st.integers(40, NUM_DIGITS - test - validation))
    splits = split_digits(train, validation, test)
    assert [len(splits[split]) for split in SPLITS] == [train, validation, test]
    assert len(set(np.concatenate(list(splits.values())))) == train + validation + test
    for chosen in splits.values():
        assert len(set(handwriting().labels[chosen])) == 10
    fewer = split_digits(40, 40, test)
    np.testing.assert_array_equal(fewer["test"], splits["test"])


def test_enlarging_keeps_what_is_where() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[1, 6] = 255
    row, column = np.unravel_index(enlarge(image, 40).argmax(), (40, 40))
    assert 5 <= row < 10
    assert 30 <= column < 35


# -- glyphs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("font", [*TRAIN_FONTS, *TEST_FONTS])
def test_fonts_have_every_letter(font: str) -> None:
    known = FT2Font(str(font_file(font))).get_charmap()
    for letters in SCRIPTS.values():
        assert all(ord(letter) in known for letter in letters)


def test_letters_are_centred_and_of_one_size() -> None:
    for script, letters in SCRIPTS.items():
        for letter in letters:
            picture = draw(letter, "DejaVuSerif-Bold")
            assert picture.shape == (CANVAS, CANVAS)
            inside = np.argwhere(picture)
            low, high = inside.min(0), inside.max(0) + 1
            assert LETTER - 2 <= (high - low).max() <= LETTER, (script, letter)
            assert abs(low + high - CANVAS).max() <= 4, (script, letter)
            assert picture.max() > 200


def test_letters_of_a_script_all_look_different() -> None:
    for letters in SCRIPTS.values():
        assert len(set(letters)) == len(letters)
        for font in (*TRAIN_FONTS, *TEST_FONTS):
            assert len({draw(letter, font).tobytes() for letter in letters}) == len(letters)


def test_a_missing_font_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(MtlError, match=r"Nowhere\.ttf.*reinstall"):
        draw("A", "Nowhere")
