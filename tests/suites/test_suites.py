"""The embedded suites."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from matplotlib.ft2font import FT2Font
from mtl_suites import mtl_suites
from mtl_suites.alphabets import alphabets
from mtl_suites.digits import digits
from mtl_suites.distortion import Distortion
from mtl_suites.glyphs import CANVAS, LETTER, SCRIPTS, TEST_FONTS, TRAIN_FONTS, draw, font_file
from mtl_suites.handwriting import NUM_DIGITS, enlarge, handwriting, split_digits
from support.typed import stored

from mtl_framework.data.tasks import SPLITS, Suite
from mtl_framework.support.errors import MtlError, UnknownNameError

SMALL: dict[str, Any] = {"train_per_task": 60, "validation_per_task": 40, "test_per_task": 50}
STILL = Distortion(0.0, 0.0, (1.0, 1.0), 0.0, (0.0, 0.0), (1.0, 1.0), 0.0, 0.0)


@pytest.fixture(scope="module")
def default_alphabets() -> Suite:
    return alphabets()


@pytest.fixture(scope="module")
def default_digits() -> Suite:
    return digits()


def digests(suite: Suite) -> dict[str, str]:
    """A hash of every array, by task and split."""
    return {
        f"{task.name}/{split}": hashlib.sha256(
            stored(found).numpy().tobytes() + found.targets.numpy().tobytes()
        ).hexdigest()
        for task in suite.tasks
        for split, found in task.splits().items()
    }


# -- both suites -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["default_alphabets", "default_digits"])
def test_images_are_grey_bytes_with_every_class_in_every_split(
    suite: str, request: pytest.FixtureRequest
) -> None:
    for task in request.getfixturevalue(suite).tasks:
        classes = max(task.objective.num_outputs, 2)
        assert list(task.splits()) == list(SPLITS)
        for found in task.splits().values():
            assert found.inputs.dtype == torch.uint8
            assert found.inputs.shape[1:] == (1, 28, 28)
            assert found.inputs.is_contiguous()
            counts = found.targets.bincount()
            assert len(counts) == classes
            assert counts.min() > 0
            # no class rules; digit and large have equal shares up to the rounding of splits
            assert counts.max() <= counts.min() * 1.2 + 2
            # every image has a drawing on it
            assert found.inputs.flatten(1).float().std(1).min() > 10


@pytest.mark.parametrize("suite", ["default_alphabets", "default_digits"])
def test_no_image_occurs_twice(suite: str, request: pytest.FixtureRequest) -> None:
    tasks = request.getfixturevalue(suite).tasks
    tasks = tasks[:1] if suite == "default_digits" else tasks  # those have one input
    images = torch.cat([found.inputs for task in tasks for found in task.splits().values()])
    assert len(images.flatten(1).unique(dim=0)) == len(images)


def test_suites_are_the_same_in_every_process_whatever_its_seeds() -> None:
    script = (
        "import json, sys, numpy, torch\n"
        "sys.path[:] = json.loads(sys.argv[1])\n"
        "numpy.random.seed(5); torch.manual_seed(5)\n"
        "from mtl_suites.alphabets import alphabets\n"
        "from mtl_suites.digits import digits\n"
        "from test_suites import SMALL, digests\n"
        "print(json.dumps([digests(alphabets(**SMALL)), digests(digits())]))\n"
    )
    paths = [str(p) for p in sys.path]
    found = subprocess.run(
        [sys.executable, "-c", script, json.dumps(paths)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(found.stdout) == [digests(alphabets(**SMALL)), digests(digits())]


def test_the_hook_names_factories_without_importing_them() -> None:
    script = (
        "import sys\n"
        "from mtl_suites import mtl_suites\n"
        "assert {'alphabets', 'digits', 'arrays'} <= set(mtl_suites())\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    for name, place in mtl_suites().items():
        module, _, attribute = place.partition(":")
        __import__(module)
        factory = getattr(sys.modules[module], attribute)
        if name in ("alphabets", "digits"):  # the others read files
            assert factory().name == name


# -- alphabets -------------------------------------------------------------------------------------


def test_alphabets_has_500_training_images_a_task(default_alphabets: Suite) -> None:
    expected = ["digits", "latin", "greek", "cyrillic", "armenian"]
    assert list(default_alphabets.task_names) == expected
    for task in default_alphabets.tasks:
        sizes = {split: len(found) for split, found in task.splits().items()}
        assert sizes == {"train": 500, "validation": 200, "test": 500}
        assert len({len(SCRIPTS.get(task.name, "0123456789")), task.objective.num_outputs}) == 1


def test_a_task_of_alphabets_does_not_depend_on_the_others() -> None:
    names = [*SCRIPTS, "digits"]
    full = digests(alphabets(tasks=names, **SMALL))
    assert len(set(full.values())) == 3 * len(names)
    for name in names:
        assert digests(alphabets(tasks=[name], **SMALL)).items() <= full.items()


def test_test_images_do_not_depend_on_the_number_of_training_images() -> None:
    few = digests(alphabets(tasks=["digits", "greek"], **SMALL))
    more = digests(alphabets(tasks=["digits", "greek"], **{**SMALL, "train_per_task": 70}))
    for name in few:
        assert (few[name] == more[name]) == name.endswith("/test") or name == "greek/validation"


def test_test_letters_come_from_fonts_unseen_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl_suites import alphabets as module

    used: dict[str, set[str]] = {}
    examples = module._examples

    def draw_and_note(letter: str, font: str) -> np.ndarray:
        fonts.add(font)
        return draw(letter, font)

    def end_of_split(*args: object) -> object:
        used[f"split {len(used)}"] = fonts.copy()
        fonts.clear()
        return examples(*args)  # type: ignore[arg-type]

    fonts: set[str] = set()
    monkeypatch.setattr(module, "draw", draw_and_note)
    monkeypatch.setattr(module, "_examples", end_of_split)
    alphabets(tasks=["latin"])
    train, validation, test = used.values()
    assert train == validation == set(TRAIN_FONTS)
    assert test == set(TEST_FONTS)
    assert not train & test


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_per_task": 39}, "train_per_task should be from 40 to 5000, found 39"),
        ({"validation_per_task": 0}, "validation_per_task should be from 40 to 5000, found 0"),
        ({"test_per_task": 5001}, "test_per_task should be from 40 to 5000, found 5001"),
        ({"train_per_task": 1098}, "add up to 1798, but there are 1797 handwritten digits"),
        ({"tasks": ["latin", "latin"]}, "'latin' occurs twice"),
        ({"tasks": []}, "'alphabets' has no task"),
    ],
)
def test_alphabets_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        alphabets(**options)


def test_alphabets_names_the_nearest_task() -> None:
    with pytest.raises(UnknownNameError, match=r"'cyrilic'; did you mean 'cyrillic'\?"):
        alphabets(tasks=["latin", "cyrilic"])


def test_letters_alone_may_be_more_than_there_are_digits() -> None:
    suite = alphabets(tasks=["greek"], train_per_task=2000, test_per_task=40)
    assert len(suite.tasks[0].train) == 2000
    with_digits = alphabets(tasks=["digits"], train_per_task=1097)
    assert len(with_digits.tasks[0].train) == 1097  # all that the other splits leave


# -- digits ----------------------------------------------------------------------------------------


def test_digits_asks_three_questions_about_one_image(default_digits: Suite) -> None:
    assert default_digits.common_input
    digit, odd, large = default_digits.tasks
    assert {task.objective.metric for task in default_digits.tasks} == {"error %"}
    for split, found in digit.splits().items():
        assert torch.equal(odd.splits()[split].targets, found.targets % 2)
        assert torch.equal(large.splits()[split].targets, (found.targets > 4).long())
    sizes = [len(found) for found in digit.splits().values()]
    assert sizes == [1077, 360, 360]


@pytest.mark.parametrize("size", [8, 32])
def test_digits_of_any_size_show_the_originals(size: int) -> None:
    task = digits(size=size).tasks[0]
    writing = handwriting()
    for split, chosen in split_digits(1077, 360, 360).items():
        found = task.splits()[split]
        assert found.inputs.shape == (len(chosen), 1, size, size)
        np.testing.assert_array_equal(found.targets, writing.labels[chosen])
        small = torch.nn.functional.adaptive_avg_pool2d(stored(found).float(), 8)[:, 0]
        difference = (small - torch.from_numpy(writing.images[chosen]).float()).abs().mean()
        assert difference < (1e-6 if size == 8 else 20)


@pytest.mark.parametrize("size", [7, 225])
def test_digits_refuses_sizes(size: int) -> None:
    with pytest.raises(MtlError, match=f"size should be from 8 to 224, found {size}"):
        digits(size=size)


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


# -- distortion ------------------------------------------------------------------------------------


def disc(side: int, row: float, column: float, radius: float) -> np.ndarray:
    """A white disc; places and radius as parts of the side."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    return np.where(np.hypot(y - row, x - column) < radius, np.uint8(255), np.uint8(0))


def middle_of(image: np.ndarray) -> tuple[float, float]:
    """Centre of mass, as parts of the side."""
    y, x = (np.mgrid[: len(image), : len(image)] + 0.5) / len(image)
    weights = image / image.sum()
    return float((y * weights).sum()), float((x * weights).sum())


@pytest.mark.parametrize("size", [16, 28, 32])
def test_nothing_drawn_gives_the_picture_reduced(size: int) -> None:
    picture = disc(64, 0.5, 0.5, 0.3)
    image = STILL.apply(picture, size, np.random.RandomState(0)) / 255
    assert image.mean() == pytest.approx((picture / 255).mean(), abs=0.01)
    expected = disc(size * 8, 0.5, 0.5, 0.3).reshape(size, 8, size, 8).mean((1, 3)) / 255
    assert np.abs(image - expected).max() < 0.3
    np.testing.assert_allclose(image, image[::-1], atol=0.01)
    np.testing.assert_allclose(image, image[:, ::-1], atol=0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation": 30.0},
        {"shear": 0.3},
        {"scale": (0.7, 1.2)},
        {"shift": 0.1},
        {"blur": (0.3, 1.5)},
        {"ink": (0.4, 1.0)},
        {"ground": 0.3},
        {"noise": 0.2},
    ],
)
def test_every_range_does_something_and_is_kept(change: dict[str, Any]) -> None:
    distortion = Distortion(**{**vars(STILL), **change})
    picture = disc(64, 0.3, 0.6, 0.15)
    still = STILL.apply(picture, 28, np.random.RandomState(0))
    random = np.random.RandomState(1)
    images = [distortion.apply(picture, 28, random) for _ in range(20)]
    assert len({image.tobytes() for image in [still, *images]}) == 21
    middles = np.array([middle_of(image.astype(float)) for image in images])
    away = np.abs(middles - middle_of(still.astype(float)))
    brightest = np.array([image.max() / 255 for image in images])
    darkest = np.array([image.min() / 255 for image in images])
    match change:
        case {"rotation": _}:  # about the centre, which stays as far away as it was
            radius = np.hypot(*(middles - 0.5).T)
            np.testing.assert_allclose(radius, np.hypot(0.2, 0.1), atol=0.01)
            angles = np.rad2deg(np.arctan2(*(middles - 0.5).T) - np.arctan2(-0.2, 0.1))
            assert 15 < np.abs(angles).max() < 31
        case {"shear": limit}:  # columns move, in proportion to the distance from the middle row
            assert away[:, 0].max() < 0.01
            assert 0.1 * limit < away[:, 1].max() < 0.2 * limit + 0.01
        case {"shift": limit}:
            assert 0.06 < away.max() < limit + 0.01
        case {"scale": (low, high)}:
            factors = (middles - 0.5) / np.array([-0.2, 0.1])
            assert low - 0.05 < factors.min() < 0.9
            assert 1.0 < factors.max() < high + 0.05
        case {"ink": (low, high)}:
            assert low - 0.01 < brightest.min() < 0.6
            assert 0.8 < brightest.max() < high + 0.01
        case {"ground": limit}:
            assert 0.15 < darkest.max() < limit + 0.01
        case {"noise": limit}:
            corner = np.array([image[16:, :8].astype(float).std() / 255 for image in images])
            assert 0.03 < corner.max() < limit
        case {"blur": _}:
            assert away.max() < 0.01
            steepest = np.array([np.diff(image.astype(float)).max() for image in images])
            assert steepest.max() <= np.diff(still.astype(float)).max()
            assert steepest.min() < 0.7 * steepest.max()


def test_the_same_numbers_give_the_same_image() -> None:
    from mtl_suites.alphabets import DISTORTION

    picture = draw("R", "DejaVuSans")
    first, again = (DISTORTION.apply(picture, 28, np.random.RandomState(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    random = np.random.RandomState(3)
    images = [DISTORTION.apply(picture, 28, random) for _ in range(2)]
    np.testing.assert_array_equal(images[0], first)
    assert (images[0] != images[1]).any()
