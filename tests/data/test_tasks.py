import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from mtl_framework.data.tasks import (
    Binary,
    Classification,
    Examples,
    LanguageModel,
    Objective,
    Regression,
    Suite,
    Task,
)
from mtl_framework.support.errors import MtlError, UnknownNameError

numbers = st.floats(-20, 20, width=32)


def examples(
    rows: int = 6,
    shape: tuple[int, ...] = (1, 4, 4),
    classes: int = 3,
    dtype: torch.dtype = torch.float32,
) -> Examples:
    return Examples(torch.zeros(rows, *shape, dtype=dtype), torch.arange(rows) % classes)


def task(name: str = "a", **changes: Any) -> Task:
    data = examples()
    values = {"objective": Classification(3), "train": data, "test": data, **changes}
    return Task(name, **values)


def refused(*parts: str) -> AbstractContextManager[object]:
    """The block raises a one-line MtlError that contains every part."""
    return pytest.raises(MtlError, match="".join(f"(?=.*{part})" for part in parts) + r"[^\n]*\Z")


# -- objectives against plain loops over rows ------------------------------------------------------


@given(st.data())
def test_classification_is_cross_entropy_and_error(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 5))
    rows = data.draw(st.lists(st.lists(numbers, min_size=classes, max_size=classes), min_size=1))
    labels = data.draw(
        st.lists(st.integers(0, classes - 1), min_size=len(rows), max_size=len(rows))
    )
    objective = Classification(classes)
    outputs, targets = torch.tensor(rows, dtype=torch.float64), torch.tensor(labels)
    objective.check(targets)
    losses, scores = objective.losses(outputs, targets), objective.scores(outputs, targets)
    for row, label, loss, score in zip(rows, labels, losses, scores, strict=True):
        top = max(row)
        log_sum = top + math.log(sum(math.exp(x - top) for x in row))
        assert loss.item() == pytest.approx(log_sum - row[label], abs=1e-9)
        assert score.item() == (0 if row.index(top) == label else 100)


@given(st.lists(st.tuples(numbers, st.integers(0, 1)), min_size=1), st.booleans())
def test_binary_is_binary_cross_entropy_and_error(
    rows: list[tuple[float, int]], as_float: bool
) -> None:
    outputs = torch.tensor([[x] for x, _ in rows], dtype=torch.float64)
    targets = torch.tensor([y for _, y in rows])
    targets = targets.float() if as_float else targets
    objective = Binary()
    objective.check(targets)
    losses, scores = objective.losses(outputs, targets), objective.scores(outputs, targets)
    for (x, y), loss, score in zip(rows, losses, scores, strict=True):
        probability = 1 / (1 + math.exp(-x if y else x))  # of the right answer
        assert loss.item() == pytest.approx(-math.log(probability), abs=1e-9)
        assert score.item() == (0 if (x > 0) == bool(y) else 100)


@given(st.data())
def test_regression_is_mean_squared_error_and_its_root(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 3))
    row = st.lists(numbers, min_size=width, max_size=width)
    pairs = data.draw(st.lists(st.tuples(row, row), min_size=1, max_size=8))
    outputs = torch.tensor([x for x, _ in pairs])
    targets = torch.tensor([y for _, y in pairs])
    if width == 1 and data.draw(st.booleans()):
        targets = targets[:, 0]
    objective = Regression(width)
    objective.check(targets)
    losses, scores = objective.losses(outputs, targets), objective.scores(outputs, targets)
    squares = [sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / width for x, y in pairs]
    assert losses.tolist() == pytest.approx(squares, rel=1e-5, abs=1e-9)
    expected = math.sqrt(sum(squares) / len(squares))
    assert objective.summarize(scores.mean().item()) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.data())
def test_language_model_is_cross_entropy_a_position_and_perplexity(data: st.DataObject) -> None:
    words, rows, positions = (data.draw(st.integers(low, 4)) for low in (2, 1, 1))
    count = rows * positions
    flat = data.draw(st.lists(numbers, min_size=count * words, max_size=count * words))
    outputs = torch.tensor(flat, dtype=torch.float64).view(rows, positions, words)
    drawn = data.draw(st.lists(st.integers(0, words - 1), min_size=count, max_size=count))
    targets = torch.tensor(drawn).view(rows, positions)
    objective = LanguageModel(words)
    objective.check(targets)
    plain = Classification(words)
    by_position = plain.losses(outputs.flatten(0, 1), targets.flatten()).view(rows, positions)
    assert objective.losses(outputs, targets).tolist() == pytest.approx(
        [sum(row) / positions for row in by_position.tolist()], abs=1e-9
    )
    mean = objective.scores(outputs, targets).double().mean().item()
    assert objective.summarize(mean) == pytest.approx(math.exp(by_position.mean().item()), rel=1e-4)


def test_perplexity_beyond_all_numbers_is_infinite() -> None:
    assert LanguageModel(2).summarize(709.0) == math.exp(709.0)
    assert LanguageModel(2).summarize(710.0) == math.inf


@pytest.mark.parametrize(
    ("objective", "targets"),
    [
        (Classification(3), torch.tensor([0, 2])),
        (Binary(), torch.tensor([0, 1])),
        (Regression(2), torch.tensor([[0.0, 1.0], [2.0, 3.0]])),
        (LanguageModel(3), torch.tensor([[0, 2, 1], [1, 1, 2]])),
    ],
)
def test_losses_have_gradients(objective: Objective, targets: Tensor) -> None:
    shape = targets.shape if isinstance(objective, LanguageModel) else targets.shape[:1]
    outputs = torch.randn(*shape, objective.num_outputs, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: objective.losses(x, targets), (outputs,))


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "targets", "parts"),
    [
        (Classification(3), torch.tensor([0, 1, 3]), ["label 3 of example 2", r"0\.\.2"]),
        (Classification(3), torch.tensor([0, -1, 3]), ["label -1 of example 1", r"0\.\.2"]),
        (Classification(3), torch.tensor([0.0, 1.0, 2.0]), ["int64", "float32"]),
        (Classification(3), torch.tensor([[0], [1], [2]]), [r"\(N,\)", r"\(3, 1\)"]),
        (Binary(), torch.tensor([0, 1, 2]), ["2 of example 2", "0 nor 1"]),
        (Binary(), torch.tensor([0.0, math.nan, 1.0]), ["nan of example 1"]),
        (Binary(), torch.tensor([[0], [1], [1]]), [r"\(3, 1\)"]),
        (Regression(2), torch.zeros(3), [r"\(3, 2\)", r"\(3,\)"]),
        (Regression(1), torch.zeros(3, 2), [r"\(3, 1\) or \(3,\)", r"\(3, 2\)"]),
        (Regression(2), torch.tensor([[0, 0], [0, math.inf], [0, 0]]), ["example 1", "finite"]),
        (LanguageModel(4), torch.tensor([[0, 1], [2, 4], [5, 0]]), ["word 4 of example 1", "0..3"]),
        (LanguageModel(4), torch.tensor([[0], [1], [-1]]), ["word -1 of example 2"]),
        (LanguageModel(4), torch.zeros(3, 2), ["int64", "float32"]),
        (LanguageModel(4), torch.zeros(3).long(), [r"\(N, positions\)", r"\(3,\)"]),
        (LanguageModel(4), torch.zeros(3, 0).long(), [r"\(3, 0\)"]),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_wrong_targets(objective: Objective, targets: Tensor, parts: list[str], split: str) -> None:
    good = {
        Regression: torch.zeros(3, objective.num_outputs),
        LanguageModel: torch.zeros(3, 2).long(),
    }
    right = Examples(torch.zeros(3, 1), good.get(type(objective), torch.zeros(3).long()))
    wrong = Examples(torch.zeros(3, 1), targets)
    splits: dict[str, Any] = {"train": right, "validation": right, "test": right, split: wrong}
    with refused(f"task 'a', {split} split", *parts):
        Task("a", objective, **splits)


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        (examples(rows=0), ["no example"]),
        (Examples(torch.zeros(3, 1), torch.zeros(2).long()), ["3 inputs", "2 targets"]),
        (Examples(torch.zeros(3), torch.zeros(3).long()), [r"\(N, ...\)", r"found \(3,\)"]),
        (Examples(torch.zeros(3, 1), torch.tensor(0)), [r"and \(\)"]),
        (
            Examples(torch.tensor([[0.0], [math.nan]]), torch.zeros(2).long()),
            ["example 1", "finite"],
        ),
        (replace(examples(), labelled=torch.zeros(6).bool()), ["no example has a label"]),
        (replace(examples(), labelled=torch.ones(5).bool()), [r"\(6,\)", r"found .* \(5,\)"]),
        (replace(examples(), streams=4), ["streams", r"\(6\)", "found 4"]),
        (replace(examples(), streams=0), ["streams", "found 0"]),
        (replace(examples(), streams=2, labelled=torch.ones(6).bool()), ["cannot lack labels"]),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_wrong_examples(wrong: Examples, parts: list[str], split: str) -> None:
    with refused(f"task 'a', {split} split", *parts):
        changes: dict[str, Any] = {split: wrong}
        task(**changes)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "\u200d", "a\u202eb"])
def test_task_name_is_printable(name: str) -> None:
    with refused("name", "printable"):
        task(name)


@pytest.mark.parametrize("name", ["👨\u200d👩\u200d👧", "می\u200cخواهم"])
def test_what_joins_letters_may_stand_in_a_name(name: str) -> None:
    assert task(name).name == name


def test_batch_size_is_positive() -> None:
    with refused("task 'a'", "batch_size", "found 0"):
        task(batch_size=0)


def test_streams_decide_their_batch_size() -> None:
    streams = replace(examples(), streams=3)
    assert task(train=streams, batch_size=3).train.streams == 3
    with refused("task 'a'", "batch_size", "3, the number of its streams", "found 4"):
        task(train=streams, batch_size=4)
    assert task(train=examples(), test=streams, batch_size=4).test.streams == 3


@pytest.mark.parametrize("backbone", [{}, {"name": 3}, {"args": {}}])
def test_own_backbone_has_a_name(backbone: dict[str, Any]) -> None:
    with refused("task 'a'", "backbone should have a name"):
        task(backbone=backbone)


def test_labelled_examples_are_counted() -> None:
    assert examples().num_labelled == 6
    mask = torch.tensor([True, False, True, False, False, True])
    assert replace(examples(), labelled=mask).num_labelled == 3


@pytest.mark.parametrize(
    "make", [lambda: Classification(1), lambda: Regression(0), lambda: LanguageModel(1)]
)
def test_objectives_need_outputs(make: Callable[[], Objective]) -> None:
    with refused("at least", "found"):
        make()


# -- suites ----------------------------------------------------------------------------------------


def test_splits_are_those_that_exist() -> None:
    assert list(task().splits()) == ["train", "test"]
    assert list(task(validation=examples()).splits()) == ["train", "validation", "test"]


def test_suite_knows_its_tasks() -> None:
    suite = Suite("s", [task("a"), task("b"), task("c")])
    assert len(suite) == 3
    assert suite.task_names == ("a", "b", "c")
    assert suite.input_shape == (1, 4, 4)
    assert suite.in_chans == 1
    assert [suite.index("b"), suite.index(2)] == [1, 2]
    with pytest.raises(UnknownNameError, match="did you mean"):
        suite.index("A b")
    with refused(r"0\.\.2"):
        suite.index(3)
    with refused(r"0\.\.2"):
        suite.index(-1)


def test_suite_needs_a_task() -> None:
    with refused("'s' has no task"):
        Suite("s", [])


def test_task_names_are_unique() -> None:
    with refused("'a' occurs twice"):
        Suite("s", [task("a"), task("b"), task("a")])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_inputs_have_one_shape_and_dtype(split: str) -> None:
    other = task("b", **{split: examples(shape=(1, 5, 5))})
    with refused(f"'b' \\({split}\\)", r"\(1, 5, 5\)", "'a'", r"\(1, 4, 4\)", "resize"):
        Suite("s", [task(), other])
    other = task("b", **{split: examples(dtype=torch.uint8)})
    with refused(f"'b' \\({split}\\)", "uint8", "'a'", "float32"):
        Suite("s", [task(), other])


def test_tasks_with_backbones_of_their_own_may_read_different_inputs() -> None:
    words = Examples(torch.zeros(4, 7).long(), torch.zeros(4, 7).long())
    text = Task("text", LanguageModel(5), words, words, backbone={"name": "lstm"})
    suite = Suite("s", [task("a"), text])
    assert not suite.common_backbone
    assert suite.input_shape == (1, 4, 4)
    assert suite.input_shapes == ((1, 4, 4), (7,))
    assert Suite("s", [task("a"), task("b")]).common_backbone
    with refused(r"'b' \(test\)", r"\(1, 5, 5\)", r"'b' \(1, 4, 4\)"):
        Suite("s", [text, task("b", test=examples(shape=(1, 5, 5)), backbone={"name": "lenet"})])


def test_common_input_is_one_tensor() -> None:
    first = task("a")
    good = Examples(first.train.inputs, torch.zeros(6).long())
    suite = Suite("s", [first, task("b", train=good, test=good)], common_input=True)
    assert suite.common_input
    with refused(r"'b' \(test\)", "does not hold"):
        Suite("s", [first, task("b", train=good)], common_input=True)


def test_common_input_has_common_streams() -> None:
    first = task("a")
    streams = replace(first.test, streams=2)
    with refused(r"'b' \(test\)", "streams 2", "'a' None"):
        Suite("s", [first, task("b", train=first.train, test=streams)], common_input=True)


@pytest.mark.parametrize("who", [0, 1])
def test_common_input_has_the_same_splits(who: int) -> None:
    data = examples()
    tasks = [
        task(name, train=data, test=data, validation=data if who == number else None)
        for number, name in enumerate("ab")
    ]
    with refused(f"'{'ab'[who]}' has a validation split", f"'{'ab'[1 - who]}' has none"):
        Suite("s", tasks, common_input=True)


def test_tasks_suites_and_examples_are_written_in_a_few_words() -> None:
    one = task("t")
    assert repr(one) == "<Task t: Classification, 6 train, 6 test examples>"
    assert repr(one.train) == "<Examples: 6 of shape 1x4x4>"
    assert repr(Suite("s", [one])) == "<Suite s: t>"
    many = [replace(one, name=f"t{n}") for n in range(9)]
    assert repr(Suite("s", many)).endswith("t6, t7, ...>")
