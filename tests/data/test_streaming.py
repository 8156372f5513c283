"""Images in files: read when needed or held in memory, with the same batches either way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mtl_framework.data.batches import BalancedBatches, Batch, evaluation_batches
from mtl_framework.data.images import read_image
from mtl_framework.data.placement import MOST_KEPT, input_bytes, place_inputs, usable_workers
from mtl_framework.data.streaming import LazyInputs
from mtl_framework.data.tasks import Classification, Examples, Suite, Task
from mtl_framework.data.transforms import Transforms
from mtl_framework.support.errors import MtlError

CPU = torch.device("cpu")
TRANSFORM = Transforms.from_config(
    {"train": [{"name": "RandomCrop", "size": 5, "padding": 2}, "RandomHorizontalFlip"]}
).train


def write_images(folder: Path, count: int, size: int = 6, seed: int = 0) -> list[Path]:
    """Grey PNG files with random content."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (size, size), np.uint8)).save(path)
    return paths


def read_all(paths: Sequence[Path]) -> Tensor:
    return torch.stack([read_image(path, grey=True) for path in paths])


def suite_of(folder: Path, lazy: bool, common_input: bool = False) -> Suite:
    """Two tasks on images in files, with random transforms in training."""
    tasks: list[Task] = []
    for number in range(2):
        seed = 0 if common_input else number
        paths = write_images(folder / f"task{seed}", 9, seed=seed)
        inputs = LazyInputs(paths, (1, 6, 6)) if lazy else read_all(paths)
        if common_input and tasks:
            inputs = tasks[0].train.inputs
        labelled = torch.arange(9) % (3 + number) != 0
        train = Examples(inputs, torch.arange(9), labelled, transform=TRANSFORM)
        crop = Transforms.from_config({"train": [{"name": "CenterCrop", "size": 5}]}).train
        if common_input and tasks:
            crop = tasks[0].test.transform  # type: ignore[assignment]
        test = Examples(inputs, torch.arange(9), transform=crop)
        tasks.append(Task(f"task{number}", Classification(9), train, test))
    return Suite("s", tasks, common_input)


def make(suite: Suite, streamed: bool, workers: int = 0, seed: int = 3) -> BalancedBatches:
    return BalancedBatches(suite, 4, seed, CPU, streamed=streamed, workers=workers)


def assert_equal(one: Batch, other: Batch) -> None:
    for name in ("inputs", "targets"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            assert torch.equal(a, b)
    assert str(one.labelled) == str(other.labelled)
    assert (one.common_input, one.starts) == (other.common_input, other.starts)


@pytest.mark.parametrize("common_input", [False, True])
def test_streamed_batches_are_those_from_memory(tmp_path: Path, common_input: bool) -> None:
    plain = make(suite_of(tmp_path, False, common_input), False)
    lazy = suite_of(tmp_path, True, common_input)
    others = [make(lazy, True), make(lazy, True, 2), make(lazy, False)]
    for _ in range(7):
        batch = plain.next()
        assert batch.inputs[0].shape == (4, 1, 5, 5)
        for other in others:
            assert_equal(other.next(), batch)
    for other in others:
        other.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_where_its_state_was_taken(tmp_path: Path, workers: int) -> None:
    suite = suite_of(tmp_path, True)
    whole = make(suite, False)
    for _ in range(3):
        whole.next()
    first = make(suite, True, workers)
    for _ in range(3):
        first.next()
    state = first.state_dict()
    first.next()
    resumed = make(suite, True, workers, seed=8)
    resumed.next()
    resumed.load_state_dict(state)
    first.load_state_dict(state)
    for _ in range(4):
        batch = whole.next()
        assert_equal(resumed.next(), batch)
        assert_equal(first.next(), batch)
    first.close()
    resumed.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_draws_nothing_from_the_global_generator(tmp_path: Path, workers: int) -> None:
    suite = suite_of(tmp_path, True)
    before = torch.get_rng_state()
    batches = make(suite, True, workers)
    batches.next()
    batches.close()
    list(evaluation_batches(suite.tasks[0].test, 4, CPU, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_reads_files_in_order(tmp_path: Path, workers: int) -> None:
    data = suite_of(tmp_path, True).tasks[1].test
    paths = sorted((tmp_path / "task1").iterdir())
    crop = read_all(paths)[:, :, :5, :5].float() / 255  # what CenterCrop makes of 6 pixels
    parts = list(evaluation_batches(data, 4, CPU, workers=workers))
    assert [len(targets) for _, targets in parts] == [4, 4, 1]
    assert torch.equal(torch.cat([inputs for inputs, _ in parts]), crop)


def test_random_transforms_differ_by_example_and_step(tmp_path: Path) -> None:
    image = read_all(write_images(tmp_path, 1)).expand(8, -1, -1, -1)
    data = Examples(image, torch.arange(8), transform=TRANSFORM)
    suite = Suite(
        "s", [Task("a", Classification(8), data, Examples(image[:, :, :5, :5], data.targets))]
    )
    batches = BalancedBatches(suite, 8, 0, CPU)
    first, second = batches.next().inputs[0], batches.next().inputs[0]
    assert len({tuple(image.flatten().tolist()) for image in first}) > 4
    assert not torch.equal(first, second)
    assert torch.equal(BalancedBatches(suite, 8, 0, CPU).next().inputs[0], first)


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["gone", "cut", "text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, workers: int, how: str) -> None:
    suite = suite_of(tmp_path, True)
    batches = make(suite, True, workers)
    broken = tmp_path / "task1" / "05.png"
    content = broken.read_bytes()
    broken.unlink()
    if how != "gone":
        broken.write_bytes(content[: len(content) // 2] if how == "cut" else b"text")
    with pytest.raises(MtlError, match=rf"^[^\n]*{broken}[^\n]*\Z"):
        [batches.next() for _ in range(20)]
    with pytest.raises(MtlError, match=rf"^[^\n]*{broken}[^\n]*\Z"):
        suite.tasks[1].train.inputs.hold(workers)  # type: ignore[union-attr]
    broken.write_bytes(content)
    expected = make(suite, False)
    expected.load_state_dict(batches.state_dict())
    assert_equal(batches.next(), expected.next())  # the batch that failed is read again
    batches.close()


def test_images_of_one_task_have_one_shape(tmp_path: Path) -> None:
    paths = [*write_images(tmp_path / "a", 2), *write_images(tmp_path / "b", 1, size=7)]
    inputs = LazyInputs(paths)
    assert inputs.shape == (3, 3, 6, 6)
    message = rf"{paths[2]} has shape \(3, 7, 7\), expected \(3, 6, 6\).*Resize"
    with pytest.raises(MtlError, match=message):
        inputs.read(2)
    resized = LazyInputs(paths, transform=lambda image: image[:, :5, :5])
    assert resized.hold().shape == (3, 3, 5, 5)
    with pytest.raises(MtlError, match=r"00.png has shape \(3, 6, 6\), expected \(3, 7, 7\)"):
        LazyInputs(paths, (3, 7, 7))


def test_inputs_from_any_dataset() -> None:
    pictures = torch.arange(3 * 12, dtype=torch.uint8).view(3, 1, 4, 3)
    inputs = LazyInputs(range(3), decode=lambda item: pictures[item], names=["x", "y", "z"])
    assert (len(inputs), tuple(inputs.shape), inputs.nbytes) == (3, (3, 1, 4, 3), 36)
    assert inputs.name(1) == "y"
    assert torch.equal(inputs.hold(), pictures)
    with pytest.raises(MtlError, match="there is no image"):
        LazyInputs([])
    with pytest.raises(MtlError, match=r"image 0 should be uint8 .*float32 of shape \(2,\)"):
        LazyInputs([7], decode=lambda item: torch.zeros(2))


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((5, 4), np.uint8), (1, 5, 4)),
        (np.zeros((5, 4, 3), np.uint8), (3, 5, 4)),
        (np.zeros((3, 5, 4), np.uint8), (3, 5, 4)),
        (np.zeros((5, 4), np.float32), (1, 5, 4)),
        (np.zeros((5, 4), np.int32), None),
        (np.zeros((5, 4, 2, 2), np.uint8), None),
    ],
)
def test_arrays_as_images(tmp_path: Path, array: np.ndarray, shape: tuple[int, ...] | None) -> None:
    path = tmp_path / "image.npy"
    np.save(path, array)
    if shape is not None:
        assert read_image(path).shape == shape
        return
    with pytest.raises(MtlError, match=rf"{path} (should hold an image|holds int32)"):
        read_image(path)


def test_arrays_of_objects_are_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MtlError, match=rf"{path} cannot be read"):
        read_image(path)


# -- the choice ------------------------------------------------------------------------------------


def test_large_suites_stream_and_small_ones_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_of(tmp_path, True)
    assert input_bytes(suite) == 2 * 9 * 36
    assert input_bytes(suite_of(tmp_path, True, common_input=True)) == 9 * 36
    assert place_inputs(suite, "never", 0)
    assert suite.tasks[0].train.inputs.held is None  # type: ignore[union-attr]
    monkeypatch.setattr("mtl_framework.data.placement.MOST_KEPT", 2 * 9 * 36 - 1)
    assert place_inputs(suite, "auto", 0)
    assert not place_inputs(suite, "always", 2)
    assert suite.tasks[0].train.inputs.held is not None  # type: ignore[union-attr]
    monkeypatch.setattr("mtl_framework.data.placement.MOST_KEPT", MOST_KEPT)
    assert not place_inputs(suite_of(tmp_path, True), "auto", 0)


def test_evaluation_tensors_stay_where_they_are(tmp_path: Path) -> None:
    data = Examples(torch.zeros(4, 1, 2, 2), torch.zeros(4).long())
    test = Examples(torch.zeros(400, 1, 2, 2), torch.zeros(400).long())
    assert input_bytes(Suite("s", [Task("a", Classification(2), data, test)])) == 4 * 4 * 4


def test_workers_are_those_asked_for_or_a_few() -> None:
    assert usable_workers(0) == 0
    assert usable_workers(7) == 7
    assert 0 <= usable_workers(None) <= 4


# -- on a GPU --------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_a_gpu_are_those_of_the_cpu(tmp_path: Path) -> None:
    """Crops and flips move bytes; divided by 255 they differ in the last bit at most.

    (A GPU multiplies by the reciprocal.)
    """
    suite = suite_of(tmp_path, True)
    expected = make(suite, False)
    cuda = torch.device("cuda")
    held = BalancedBatches(suite, 4, 3, cuda)
    streamed = BalancedBatches(suite, 4, 3, cuda, streamed=True, workers=2)
    before = torch.cuda.get_rng_state()
    for _ in range(5):
        batch = expected.next()
        for other in (held.next(), streamed.next()):
            for inputs, found in zip(batch.inputs, other.inputs, strict=True):
                assert found.device.type == "cuda"
                torch.testing.assert_close(found.cpu(), inputs, rtol=1e-6, atol=0)
                assert torch.equal((found.cpu() * 255).round(), (inputs * 255).round())
    assert torch.equal(torch.cuda.get_rng_state(), before)
    streamed.close()
