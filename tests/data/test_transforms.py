"""Transforms by config: which, in which order, and with whose random numbers."""

import inspect
import random
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.transformed import transformed
from torch import Tensor
from torchvision.transforms import v2

from mtl_framework.data.images import ImageNormalization
from mtl_framework.data.streaming import LazyInputs
from mtl_framework.data.tasks import Binary, Examples, Suite, Task
from mtl_framework.data.transforms import ImageTransform, Transforms, transform_names
from mtl_framework.support.errors import MtlError, UnknownNameError

CROP = {"name": "RandomCrop", "size": 6, "padding": 2}


def parse(*train: object) -> Transforms:
    return Transforms.from_config({"train": list(train)})


def pictures(rows: int = 5, seed: int = 0, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (rows, 3, size, size), generator=generator, dtype=torch.uint8)


def test_nothing_is_asked_for() -> None:
    configs: tuple[Any, ...] = (None, {}, {"train": []}, {"train": None, "evaluation": []})
    for config in configs:
        found = Transforms.from_config(config)
        assert (len(found.train), len(found.evaluation), found.normalization) == (0, 0, None)
        assert found.train.rest is None


def test_each_class_gets_its_arguments() -> None:
    image = pictures(1, size=20)[0]
    pipeline = parse({"name": "Resize", "size": [9, 7], "interpolation": "nearest"}, "Grayscale")
    nearest = v2.InterpolationMode.NEAREST
    expected = v2.Grayscale()(v2.Resize([9, 7], interpolation=nearest)(image))
    assert torch.equal(pipeline.train(image), expected)
    assert pipeline.train.output_shape((3, 20, 20)) == (1, 9, 7)


def test_enumerations_are_named() -> None:
    assert len(parse({"name": "AutoAugment", "policy": "cifar10"}).train) == 1
    with pytest.raises(UnknownNameError, match=r"policy of AutoAugment .*did you mean 'cifar10'"):
        parse({"name": "AutoAugment", "policy": "cifar"})


def test_what_is_the_same_every_time_is_split_off() -> None:
    names = [{"name": "Resize", "size": [8, 8]}, {"name": "Pad", "padding": 1}, CROP, "Grayscale"]
    pipeline = parse(*names).train
    assert len(pipeline.fixed) == 2
    assert pipeline.rest is not None
    assert len(pipeline.rest) == 2
    assert pipeline.fixed.output_shape((3, 30, 20)) == (3, 10, 10)
    assert pipeline.rest.output_shape((3, 10, 10)) == (1, 6, 6)
    assert parse("Grayscale").train.rest is None
    assert len(parse(CROP).train.fixed) == 0


def test_training_and_evaluation_apart() -> None:
    size = {"name": "Resize", "size": [4, 4]}
    found = Transforms.from_config({"train": [CROP], "evaluation": [size]})
    assert found.of("train") is found.train
    assert found.of("test") is found.of("validation") is found.evaluation
    assert found.evaluation.rest is None


# -- random numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        CROP,
        "RandomHorizontalFlip",
        {"name": "RandomRotation", "degrees": 90},
        {"name": "ColorJitter", "brightness": 0.5, "hue": 0.3},
        {"name": "RandomErasing", "p": 0.9},
        "RandAugment",
        "TrivialAugmentWide",
    ],
)
def test_every_example_has_random_numbers_of_its_own_seed(entry: object) -> None:
    transform = parse(entry).train
    same = pictures(1).expand(12, -1, -1, -1)
    seeds = torch.arange(12)
    found = transform.apply(same, seeds)
    assert len({tuple(image.flatten().tolist()) for image in found}) > 1
    # wherever in whichever batch an example stands, its seed decides
    turned = transform.apply(same, seeds.flip(0)).flip(0)
    alone = torch.cat([transform.apply(same[:1], seed[None]) for seed in seeds])
    assert torch.equal(found, turned)
    assert torch.equal(found, alone)


def test_global_generators_are_left_alone() -> None:
    transform = parse(CROP, "RandomHorizontalFlip", "ColorJitter", "RandAugment").train
    torch.manual_seed(1)
    before = torch.get_rng_state(), str(np.random.get_state())
    expected = [torch.rand(3)]
    torch.manual_seed(1)
    transform.apply(pictures(), torch.arange(5))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]
    assert torch.equal(torch.rand(3), expected[0])


def test_random_numbers_do_not_depend_on_the_global_generators() -> None:
    transform = parse(CROP, "RandAugment").train
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        found.append(transform.apply(pictures(), torch.arange(5)))
    assert torch.equal(*found)


# -- normalization ---------------------------------------------------------------------------------

NORMALIZE = {"name": "Normalize", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 1]}


def test_normalization_stands_apart() -> None:
    found = Transforms.from_config({"train": [CROP, NORMALIZE], "evaluation": [NORMALIZE]})
    assert found.normalization == ImageNormalization((0.5, 0.4, 0.3), (0.2, 0.2, 1.0))
    assert len(found.train) == 1
    assert len(found.evaluation) == 0


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"train": [NORMALIZE]}, "should be the same in train and evaluation.* and none"),
        ({"train": [NORMALIZE, CROP]}, r"transforms.train\[0\]: Normalize should be the last"),
        ({"evaluation": [{**NORMALIZE, "std": [1, 0, 1]}]}, r"std .*positive.*\[1.0, 0.0, 1.0\]"),
        ({"evaluation": [{**NORMALIZE, "std": [1, 1]}]}, "as many .* as mean"),
        ({"train": [{**NORMALIZE, "mean": 0.5}]}, r"mean of Normalize .* found 0\.5"),
        ({"train": [{"name": "Normalize"}]}, "mean of Normalize .* found None"),
        ({"train": [{**NORMALIZE, "sdt": 1}]}, "did you mean 'std'"),
        ({"trian": []}, "key of transforms: 'trian'; did you mean 'train'"),
        ([], "transforms should map train and evaluation to lists, found"),
        ({"train": 0}, "transforms.train should be a list of transforms, found 0"),
        ({"train": "Resize"}, "transforms.train should be a list of transforms, found 'Resize'"),
        ({"train": [3]}, r"transforms.train\[0\] should be a name.* found 3"),
        ({"train": [{"size": 3}]}, r"transforms.train\[0\] should be a name"),
        ({"train": ["RandomCorp"]}, r"in transforms.train\[0\]: 'RandomCorp'; did you mean 'Rand"),
        ({"train": ["ToTensor"]}, "unknown transform"),
        ({"train": ["RandomCrop"]}, r"transforms.train\[0\]: RandomCrop: missing .*'size'"),
        ({"train": [{**CROP, "padd": 1}]}, "argument of RandomCrop .*'padd'; did you mean 'padd"),
        ({"train": [{**CROP, "padding_mode": "no"}]}, "RandomCrop: Padding mode should be"),
        (
            {"train": [{"name": "Resize", "size": [1, 1], "interpolation": "bicubik"}]},
            "interpolation of Resize .*did you mean 'bicubic'",
        ),
    ],
)
def test_what_is_refused(config: object, parts: str) -> None:
    with pytest.raises(MtlError, match=rf"^[^\n]*{parts}[^\n]*\Z"):
        Transforms.from_config(config)


def test_a_transform_that_fails_is_named() -> None:
    with pytest.raises(MtlError, match=r"transform RandomCrop fails .*\(3, 4, 4\): [^\n]*\Z"):
        parse({"name": "RandomCrop", "size": 6}).train.output_shape((3, 4, 4))


@pytest.mark.parametrize("name", sorted(set(transform_names()) - {"Normalize"}))
def test_every_class_that_is_offered_keeps_images_uint8(name: str) -> None:
    """What torchvision changes shows here: the names that are refused are listed by hand."""
    values = {
        "size": [6, 6], "kernel_size": 3, "padding": 1, "degrees": 10, "bits": 3, "min_size": 5,
        "sharpness_factor": 2, "threshold": 100, "max_size": 7, "target_size": [6, 6],
    }  # fmt: skip
    parameters = inspect.signature(getattr(v2, name)).parameters.values()
    needed = {p.name: values[p.name] for p in parameters if p.default is p.empty}
    found = parse({"name": name, **needed}).train.apply(pictures(1, size=32), torch.tensor([1]))
    assert (len(found), found.dtype) == (1, torch.uint8)


def test_images_of_one_batch_need_one_shape() -> None:
    transform = parse({"name": "RandomResize", "min_size": 4, "max_size": 9}).train
    with pytest.raises(MtlError, match=r"shapes \(3, .*end with a crop or Resize"):
        transform.apply(pictures(9), torch.arange(9))


# -- of a suite that is built ----------------------------------------------------------------------

BOTH = Transforms.from_config(
    {
        "train": [{"name": "Pad", "padding": 1}, CROP, NORMALIZE],
        "evaluation": ["Grayscale", "RGB", {"name": "CenterCrop", "size": 6}, NORMALIZE],
    }
)


def built(lazy: bool = False, common_input: bool = True) -> Suite:
    images = pictures(6)
    inputs = LazyInputs(range(6), decode=images.__getitem__) if lazy else images
    data = Examples(inputs, torch.arange(6) % 2)
    other = data if common_input else Examples(images.clone(), data.targets)
    tasks = [Task(n, Binary(), x, x, x) for n, x in (("a", data), ("b", other))]
    return Suite("s", tasks, common_input, ("note",), {"kept": 1})


@pytest.mark.parametrize("lazy", [False, True])
def test_a_suite_is_transformed_by_split(lazy: bool) -> None:
    suite = transformed(built(lazy), BOTH)
    assert suite.common_input
    assert (suite.notes, suite.record) == (("note",), {"kept": 1})
    assert suite.input_shape == (3, 6, 6)
    task = suite.tasks[1]
    assert task.normalization == BOTH.normalization
    assert task.image_transform is not None
    image = pictures(1, size=30)[0]
    fitted = v2.functional.resize(image, [8, 8], antialias=True)
    assert torch.equal(task.image_transform(image), BOTH.evaluation(fitted))
    assert tuple(task.train.inputs.shape) == (6, 3, 10, 10)
    assert task.train.transform is not None
    assert task.test.transform is None
    assert tuple(task.test.inputs.shape) == (6, 3, 6, 6)
    found = (
        task.test.inputs.hold() if isinstance(task.test.inputs, LazyInputs) else task.test.inputs
    )
    assert torch.equal(found, torch.stack([BOTH.evaluation(image) for image in pictures(6)]))


def test_tasks_with_inputs_of_their_own_keep_them() -> None:
    suite = transformed(built(common_input=False), BOTH)
    assert suite.tasks[0].test.inputs is not suite.tasks[1].test.inputs


def test_without_transforms_a_suite_stays() -> None:
    suite = built()
    assert transformed(suite, Transforms.from_config(None)) is suite


def test_features_are_not_transformed() -> None:
    data = Examples(torch.zeros(4, 3), torch.zeros(4).long())
    suite = Suite("s", [Task("a", Binary(), data, data)])
    with pytest.raises(MtlError, match=r"task 'a' are torch.float32 of shape \(4, 3\)"):
        transformed(suite, BOTH)


def test_transforms_of_the_same_entries_are_equal() -> None:
    flip, crop = [{"name": "RandomHorizontalFlip"}], [{"name": "CenterCrop", "size": 8}]
    one, same, other = (ImageTransform.from_config(x) for x in (flip, flip, crop))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
