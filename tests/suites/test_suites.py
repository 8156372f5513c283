"""The embedded suites."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites import mtl_suites
from mtl_suites.alphabets import alphabets
from mtl_suites.digits import digits
from mtl_suites.glyphs import SCRIPTS, TEST_FONTS, TRAIN_FONTS, draw
from mtl_suites.handwriting import handwriting, split_digits
from mtl_suites.scenes import scenes
from support.typed import stored

from mtl_framework.data.tasks import SPLITS, Suite
from mtl_framework.support.errors import MtlError, UnknownNameError

SMALL: dict[str, Any] = {"train_per_task": 60, "validation_per_task": 40, "test_per_task": 50}


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


@pytest.mark.long
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
    distorted = module._distorted

    def draw_and_note(letter: str, font: str) -> np.ndarray:
        fonts.add(font)
        return draw(letter, font)

    def end_of_split(*args: object) -> object:
        used[f"split {len(used)}"] = fonts.copy()
        fonts.clear()
        return distorted(*args)  # type: ignore[arg-type]

    fonts: set[str] = set()
    monkeypatch.setattr(module, "draw", draw_and_note)
    monkeypatch.setattr(module, "_distorted", end_of_split)
    module._drawn.cache_clear()
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


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("build", [alphabets, scenes])
def test_what_is_drawn_once_is_given_out_as_copies(build: Callable[..., Suite]) -> None:
    first = build().tasks[0].train
    inputs = stored(first)
    before = inputs.clone(), first.targets.clone()
    inputs.zero_()
    first.targets.zero_()
    again = build().tasks[0].train
    assert torch.equal(stored(again), before[0])
    assert torch.equal(again.targets, before[1])
