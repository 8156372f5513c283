"""Suites of Meyerson and Miikkulainen 2019, on files in the published formats."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_suites import convert_pickle
from mtl_suites.cifar10 import cifar10
from mtl_suites.crispr import crispr
from mtl_suites.motifs import motif_examples
from mtl_suites.muir_synthetic import muir_synthetic
from mtl_suites.text import windows
from mtl_suites.three_modalities import CHARACTERS, three_modalities
from mtl_suites.wikitext import wikitext2
from support.real_data import FOLDER as SHARED
from support.typed import stored
from torch import Tensor
from torchvision.datasets import CIFAR10

from mtl_framework.support.errors import MtlError

real = pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not on this machine")


# -- text ---------------------------------------------------------------------------------------


@given(
    streams=st.integers(1, 6),
    positions=st.integers(1, 7),
    count=st.integers(1, 5),
    rest=st.integers(0, 40),
)
def test_windows_in_their_order_are_the_text(
    streams: int, positions: int, count: int, rest: int
) -> None:
    tokens = torch.arange(streams * (positions * count + 1) + rest)
    found = windows(tokens, streams, positions, "text")
    inputs = found.inputs
    assert isinstance(inputs, Tensor)
    length = len(tokens) // streams
    assert found.streams == streams
    assert len(found) == streams * ((length - 1) // positions)
    assert torch.equal(found.targets, inputs + 1)  # tokens count up: the next one is the target
    rows = inputs.view(-1, streams, positions).transpose(0, 1).flatten(1)
    for stream, row in enumerate(rows):
        assert torch.equal(row, torch.arange(stream * length, stream * length + row.numel()))


def test_a_text_too_short_is_refused() -> None:
    with pytest.raises(MtlError, match=r"text has 23 tokens; 4 streams .* at least 24"):
        windows(torch.arange(23), 4, 5, "text")


def write_text(folder: Path, **texts: str) -> None:
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def test_wikitext_numbers_words_in_the_order_of_the_files(tmp_path: Path) -> None:
    write_text(
        tmp_path / "wikitext2", train=" a b\n c\u0085a \n\n", valid="d a\n" * 3, test="e b\n" * 3
    )
    suite = wikitext2(data_root=str(tmp_path), positions=2, streams=2, evaluation_streams=1)
    (task,) = suite.tasks
    # a b eos | c a eos eos (a blank line ends, too): 7 words in two streams of three
    assert isinstance(task.train.inputs, Tensor)
    assert task.train.inputs.tolist() == [[0, 1], [3, 0]]
    assert task.train.targets.tolist() == [[1, 2], [0, 2]]
    assert task.objective.num_outputs == 6  # a b eos c d e
    assert task.test.streams == 1
    assert not suite.common_backbone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "tarin.txt"}, "there is no file .*tarin.txt; say where"),
        ({"validation": "train.txt"}, "should be different files"),
        ({"positions": 0}, "positions should be at least 1"),
        ({"positions": 50}, "train.txt has 40 tokens"),
    ],
)
def test_wikitext_says_what_is_wrong(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_text(tmp_path / "wikitext2", train="a\n" * 20, valid="b\n" * 20, test="c\n" * 20)
    given = {"streams": 2, "evaluation_streams": 2, "positions": 3} | options
    with pytest.raises(MtlError, match=message):
        wikitext2(data_root=str(tmp_path), **given)


@real
def test_the_real_text_has_the_published_number_of_words() -> None:
    suite = wikitext2(data_root=str(SHARED), train="valid.txt", validation=None)
    (task,) = suite.tasks
    assert task.objective.num_outputs == 18_327 + 1  # with the end of lines
    assert len(task.train) == 20 * ((217_646 // 20 - 1) // 35)
    assert len(task.test) == 10 * ((245_569 // 10 - 1) // 35)


# -- linear regressions -------------------------------------------------------------------------


@real
@pytest.mark.parametrize(("noisy", "published"), [(False, 1.426), (True, 1.496)])
def test_the_split_is_that_of_the_published_code(noisy: bool, published: float) -> None:
    """Minimum-norm solutions of single tasks on the ten training examples: methods 4.8, item 14."""
    suite = muir_synthetic(data_root=str(SHARED), noisy=noisy)
    errors = []
    for task in suite.tasks:
        assert isinstance(task.train.inputs, Tensor)
        assert isinstance(task.test.inputs, Tensor)
        assert task.validation is not None
        assert (len(task.train), len(task.validation), len(task.test)) == (10, 5, 50)
        weights = torch.linalg.pinv(task.train.inputs.double()) @ task.train.targets.double()
        errors.append((task.test.inputs.double() @ weights - task.test.targets).square().mean())
    assert float(torch.stack(errors).mean().sqrt()) == pytest.approx(published, abs=6e-4)
    assert suite.tasks[0].backbone == {"name": "linear", "args": {"bias": False}}


def test_synthetic_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"there is no file .*muir_synthetic.npz; say where"):
        muir_synthetic(data_root=str(tmp_path))
    file = tmp_path / "muir_synthetic.npz"
    np.savez(file, train_X=np.zeros((30, 15, 20)), train_Y=np.zeros((30, 15)))
    with pytest.raises(MtlError, match="has no array 'test_X', found train_X, train_Y"):
        muir_synthetic(data_root=str(tmp_path))
    zeros: dict[str, Any] = {"test_X": np.zeros((30, 50, 19)), "test_Y": np.zeros((30, 50))}
    np.savez(file, train_X=np.zeros((30, 15, 20)), train_Y=np.zeros((30, 15)), **zeros)
    with pytest.raises(MtlError, match=r"test_X should have shape \(30, 50, 20\), found"):
        muir_synthetic(data_root=str(tmp_path))
    file.write_bytes(b"no")
    with pytest.raises(MtlError, match=r"is no .npz file"):
        muir_synthetic(data_root=str(tmp_path))


# -- photographs --------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files as the archive of CIFAR-10 has them, with few images; only digests are not checked."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        data = generator.integers(256, size=(8, 3072), dtype=np.uint8)
        content = {"data": data, "labels": list(range(8)), "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return tmp_path


def test_cifar10_reads_the_published_format(photographs: Path) -> None:
    suite = cifar10(data_root=str(photographs), validation=6)
    (task,) = suite.tasks
    assert task.validation is not None
    assert (len(task.train), len(task.validation), len(task.test)) == (34, 6, 8)
    with (photographs / CIFAR10.base_folder / "test_batch").open("rb") as file:
        first = pickle.load(file)["data"][0].reshape(3, 32, 32)
    assert isinstance(task.test.inputs, Tensor)
    assert np.array_equal(task.test.inputs[0].numpy(), first)
    again = cifar10(data_root=str(photographs), validation=6).tasks[0]
    assert torch.equal(task.train.inputs, again.train.inputs)  # type: ignore[arg-type]
    # padded once, flipped and cropped anew for every batch
    assert tuple(task.train.inputs.shape[2:]) == (40, 40)
    assert task.train.input_shape == task.test.input_shape == (3, 32, 32)
    assert task.normalization is not None
    assert task.normalization.mean == pytest.approx((125.3 / 255, 123 / 255, 113.9 / 255))


def test_cifar10_says_what_is_wrong(tmp_path: Path, photographs: Path) -> None:
    with pytest.raises(MtlError, match="validation should be from 0 to 39, found 40"):
        cifar10(data_root=str(photographs), validation=40)
    plain = cifar10(data_root=str(photographs), validation=0, transforms={}).tasks[0]
    assert plain.validation is None
    assert tuple(plain.train.inputs.shape) == (40, 3, 32, 32)


def test_cifar10_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"suite.download=true"):
        cifar10(data_root=str(tmp_path))


# -- DNA ----------------------------------------------------------------------------------------


class Trap:
    """Unpickling this calls a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def write_crispr(folder: Path, context: int, **changes: Any) -> dict[str, str]:
    """Two records of known sequences; positions with 3, 2, 2 and 1 windows."""
    generator = np.random.default_rng(0)
    dna = {r: ["".join(generator.choice(list("ACGTN"), 80)) for _ in range(2)] for r in "xy"}

    def position(index: int, start: int, length: int, aba: Any) -> dict[str, Any]:
        end = start + length + 2 * context
        return {
            "index_position": index, "start_offset": start, "end_offset": end,
            "length": length, "aba": aba,
        }  # fmt: skip

    reads = {
        "x": {7: position(0, 5, 3, 0.25), 9: position(1, 0, 2, np.float64(0.5))},
        "y": {3: position(0, 60, 2, 0.75), 4: position(1, 10, 1, 1.0)},
    }
    splits = {"training": [("x", 7), ("x", 9)], "validation": [("y", 3)], "test": [("y", 4)]}
    folder.mkdir(exist_ok=True)
    content = {"read_data": reads, "dna_data": dna, "splits": splits} | changes
    for name, value in content.items():
        file = folder / f"{name}.pkl"
        file.write_bytes(pickle.dumps(value, protocol=2))
        if not isinstance(value, Trap):
            assert convert_pickle.main(["--trust", str(file)]) == 0
    return {"x7": dna["x"][0][5:], "x9": dna["x"][1]}


def test_crispr_cuts_windows_as_published(tmp_path: Path) -> None:
    dna = write_crispr(tmp_path / "crispr", context=4)
    suite = crispr(data_root=str(tmp_path), context=4)
    (task,) = suite.tasks
    expected = {dna["x7"][i : i + 9]: 0.25 for i in range(3)}
    expected |= {dna["x9"][i : i + 9]: 0.5 for i in range(2)}
    assert isinstance(task.train.inputs, Tensor)
    found = {
        "".join("NACGT"[n] for n in row): float(target)
        for row, target in zip(task.train.inputs.tolist(), task.train.targets, strict=True)
    }
    assert found == expected
    assert task.train.inputs.dtype == torch.int8
    assert task.batch_size == 512
    few = crispr(data_root=str(tmp_path), context=4, train_windows=2).tasks[0]
    assert len(few.train) == 2
    assert torch.equal(
        stored(few.train),
        stored(crispr(data_root=str(tmp_path), context=4, train_windows=2).tasks[0].train),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"training": []}}, "splits.json has an empty split"),
        ({"splits": {"train": []}}, "splits.json has no split 'training'"),
        ({"splits": {"training": [("z", 1)]}}, r"\('z', 1\) does not fit: KeyError: 'z'"),
        ({"dna_data": {"x": ["A" * 5] * 2}}, "3 windows of 9 bases, but 0 bases in dna_data.json"),
        ({"dna_data": {"x": ["AXC" * 20] * 2}}, "A, C, G, T, found 'X' at base"),
        ({"read_data": Trap()}, r"read_data.pkl is a pickle, but not the published file.*--trust"),
    ],
)
def test_crispr_says_what_is_wrong_and_executes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    write_crispr(tmp_path / "crispr", context=4, **changes)
    with pytest.raises(MtlError, match=message):
        crispr(data_root=str(tmp_path), context=4)
    assert "executed" not in capsys.readouterr().out


def test_crispr_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"there is no folder .*crispr; say where"):
        crispr(data_root=str(tmp_path))


@given(seed=st.integers(0, 1000), length=st.integers(8, 30))
def test_motif_targets_are_standardised_and_repeatable(seed: int, length: int) -> None:
    sizes = {"train": 20, "test": 5}
    first, second = (motif_examples(sizes, length, seed) for _ in range(2))
    for split, count in sizes.items():
        inputs, again = first[split].inputs, second[split].inputs
        assert isinstance(inputs, Tensor)
        assert isinstance(again, Tensor)
        assert torch.equal(inputs, again)
        assert inputs.shape == (count, length)
        assert 1 <= int(inputs.min()) <= int(inputs.max()) <= 4
    targets = first["train"].targets
    assert float(targets.mean()) == pytest.approx(0, abs=1e-5)
    assert float(targets.std(correction=0)) == pytest.approx(1, abs=1e-4)


# -- three modalities ---------------------------------------------------------------------------


def test_three_modalities_need_no_file() -> None:
    suite = three_modalities(train_characters=5000, train_sequences=50)
    assert suite.task_names == ("digits", "text", "dna")
    assert [t.objective.metric for t in suite.tasks] == ["error %", "perplexity", "RMSE"]
    assert suite.input_shapes == ((1, 28, 28), (35,), (101,))
    again = three_modalities(train_characters=5000, train_sequences=50)
    assert again.record == suite.record
    text = suite.tasks[1]
    assert text.objective.num_outputs == len(CHARACTERS) == len(set(CHARACTERS))
    assert isinstance(text.train.inputs, Tensor)
    prose = "".join(CHARACTERS[n] for n in text.train.inputs[0])
    assert sum(c.isalpha() or c.isspace() for c in prose) > 20  # words, and few signs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 9}, "size should be from 10 to 224, found 9"),
        ({"sequence_length": 23}, "sequence_length should be from 24"),
        ({"train_characters": 100}, "train_characters should be from 720 to 300000"),
    ],
)
def test_three_modalities_say_what_is_wrong(options: dict[str, int], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        three_modalities(**options)
