"""The section ``augmentation``: every key does something, alike under seed and resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import content, finish, start, tiny_config
from torch import Tensor

from mtl_framework.data.augmentation import AugmentationConfig
from mtl_framework.data.batches import BalancedBatches, Batch
from mtl_framework.data.mixing import Mixing
from mtl_framework.data.objectives import Binary, Classification
from mtl_framework.data.streaming import LazyInputs
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.runs.augmented import with_augmentation
from mtl_framework.support.errors import MtlError

CPU = torch.device("cpu")
NUMBERS = torch.arange(32 * 3 * 16 * 16).reshape(32, 3, 16, 16)
IMAGES = ((NUMBERS * 7) % 251).to(torch.uint8)


def decode(row: int) -> Tensor:
    return IMAGES[row]


def suite(lazy: bool = False, common: bool = False, objective: Any = None) -> Suite:
    inputs: Any = LazyInputs(range(32), (3, 16, 16), decode) if lazy else IMAGES
    tasks = []
    for name, losses in (("a", Classification(4)), ("b", objective or Classification(3))):
        classes = max(losses.num_outputs, 2)
        targets = torch.arange(32) % classes
        examples = Examples(inputs, targets)
        tasks.append(Task(name, losses, examples, examples, examples))
    return Suite("images", tasks, common_input=common)


def augmented(section: dict[str, Any], of: Suite | None = None, batch: int = 8) -> Suite:
    config = tiny_config(augmentation=section, batch_size=batch)
    return with_augmentation(of or suite(), config)


def batches(found: Suite, streamed: bool = False, seed: int = 1) -> BalancedBatches:
    return BalancedBatches(found, 8, seed, CPU, streamed=streamed)


def equal(one: Batch, other: Batch) -> bool:
    pairs = zip((*one.inputs, *one.targets), (*other.inputs, *other.targets), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


SINGLE: dict[str, Any] = {
    "crop": [0.3, 0.9], "pad": 3, "hflip": 1.0, "vflip": 1.0, "colour_jitter": 0.5, "erase": 1.0,
}  # fmt: skip
POLICIES = ["rand-m9-mstd0.5-inc1", "augmix-m3-w3", "original-mstd0.5", "3a", "trivial",
            "randaugment", "autoaugment"]  # fmt: skip
KEYS = [
    *SINGLE.items(),
    *(("policy", policy) for policy in POLICIES),
    ("transforms", ["RandomInvert", {"name": "RandomSolarize", "threshold": 10, "p": 1.0}]),
]


#: What is done to batches, by keys that other tests are about.
MIXING = {"mixup", "cutmix", "mix_probability", "mix_switch"}


def test_the_table_has_every_key() -> None:
    assert {key for key, _ in KEYS} | MIXING == set(AugmentationConfig.model_fields)


@pytest.mark.parametrize(("key", "value"), KEYS, ids=lambda value: str(value)[:12])
def test_every_key_changes_training_images_and_nothing_else(key: str, value: Any) -> None:
    """In the same way under a seed, from memory as from a stream, and after a resume."""
    plain, changed = suite(), augmented({"all": {key: value}})
    first = batches(changed)
    seen = [first.next() for _ in range(3)]
    # the same draws, whose random numbers are used for nothing
    draws = batches(augmented({"all": {"transforms": ["Identity"]}}, plain))
    raw = [draws.next() for _ in seen]
    assert all(torch.equal(a.targets[0], b.targets[0]) for a, b in zip(raw, seen, strict=True))
    assert not all(torch.equal(a.inputs[0], b.inputs[0]) for a, b in zip(raw, seen, strict=True))
    streamed = batches(augmented({"all": {key: value}}, suite(lazy=True)), streamed=True)
    assert all(equal(streamed.next(), batch) for batch in seen)
    state = first.state_dict()
    coming = first.next()
    again = batches(changed)
    again.load_state_dict(state)
    assert equal(again.next(), coming)
    assert not equal(batches(changed, seed=2).next(), seen[0])
    for task in changed.tasks:
        assert task.test.transform is None
        assert task.validation is not None
        assert task.validation.transform is None
        assert task.test.inputs is IMAGES


def test_flips_and_erasing_are_what_they_are_called() -> None:
    for key, value, right in (
        ("hflip", 1.0, lambda x: x.flip(-1)),
        ("vflip", 1.0, lambda x: x.flip(-2)),
    ):
        transform = augmented({"a": {key: value}}).tasks[0].train.transform
        assert transform is not None
        found = transform.apply(IMAGES[:3], torch.arange(3))
        change: Callable[[Tensor], Tensor] = right
        assert torch.equal(found, change(IMAGES[:3]))
    assert augmented({"a": {"hflip": 1.0}}).tasks[1].train.transform is None
    erased = augmented({"a": {"erase": 1.0}}).tasks[0].train.transform
    assert erased is not None
    black = (
        erased.apply(torch.full((1, 3, 16, 16), 9, dtype=torch.uint8), torch.ones(1).long()) == 0
    )
    assert 0 < int(black.sum()) < 3 * 16 * 16


def test_grey_images_have_policies_too() -> None:
    grey = Examples(IMAGES[:, :1].contiguous(), torch.arange(32) % 3)
    first = IMAGES[:4, :1]
    of = Suite("grey", [Task("a", Classification(3), grey, grey)])
    for policy in POLICIES:
        transform = augmented({"all": {"policy": policy}}, of).tasks[0].train.transform
        assert transform is not None
        many = [transform.apply(first, torch.arange(4) + n) for n in range(5)]
        assert any(not torch.equal(found, first) for found in many)


def test_a_tasks_own_keys_go_before_those_of_all() -> None:
    found = augmented({"all": {"hflip": 0.5, "erase": 0.2}, "b": {"hflip": 1.0}})
    names = [[(e["name"], e["p"]) for e in t.train.transform.entries]  # type: ignore[union-attr]
             for t in found.tasks]  # fmt: skip
    assert names[0] == [("RandomHorizontalFlip", 0.5), ("RandomErasing", 0.2)]
    assert names[1] == [("RandomHorizontalFlip", 1.0), ("RandomErasing", 0.2)]


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_examples_have_mixed_targets(kind: str, common: bool) -> None:
    """Share and partner are read off the images, and have to be those of the targets."""
    plain, mixed = suite(common=common), augmented({"all": {kind: 1.0}}, suite(common=common))
    before = np.random.get_state()[1]  # type: ignore[index]
    # the seeds of mixing are drawn beside the rows, as those of random transforms are
    draws = batches(augmented({"all": {"transforms": ["Identity"]}}, plain))
    found = batches(mixed)
    shares = set()
    for _ in range(4):
        raw, batch = draws.next(), found.next()
        for task in range(2):
            x, y = raw.inputs[task], raw.targets[task]
            classes = mixed.tasks[task].objective.num_outputs
            hard = torch.nn.functional.one_hot(y, classes).float()
            soft = batch.targets[task]
            assert torch.allclose(soft.sum(1), torch.ones(8))
            if kind == "mixup":
                lam = float(((batch.inputs[task] - x.flip(0)) * (x - x.flip(0))).sum()
                            / (x - x.flip(0)).square().sum())  # fmt: skip
                assert torch.allclose(
                    batch.inputs[task], lam * x + (1 - lam) * x.flip(0), atol=1e-5
                )
            else:
                kept = batch.inputs[task] == x
                assert bool((kept | (batch.inputs[task] == x.flip(0))).all())
                lam = float((kept | (x == x.flip(0)))[0, 0].float().mean())
                lam = lam if (x[0] != x[7]).all() else float("nan")
            shares.add(round(lam, 3))
            if lam == lam:
                assert torch.allclose(soft, lam * hard + (1 - lam) * hard.flip(0), atol=1e-4)
        if common:
            assert batch.inputs[0] is batch.inputs[1]
    assert len(shares) > 1
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]


def test_how_often_batches_are_mixed_and_by_what() -> None:
    def kinds(**options: float) -> list[str]:
        mixing = Mixing(1.0, 1.0, **options)
        images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
        seen = []
        for seed in range(40):
            mixed, _ = mixing.mix(images, [(labels, 4)], seed)
            same = torch.equal(mixed, images)
            taken = bool(((mixed == images) | (mixed == images.flip(0))).all())
            seen.append("none" if same else "cutmix" if taken else "mixup")
        return seen

    assert "none" in kinds(probability=0.5)
    assert "cutmix" not in kinds(switch=0.0)
    assert "mixup" not in kinds(switch=1.0)
    assert {"mixup", "cutmix"} <= set(kinds(switch=0.5))


def test_how_often_and_by_what_is_as_the_section_says() -> None:
    plain = batches(augmented({"all": {"transforms": ["Identity"]}}))
    raw = [plain.next().inputs[0] for _ in range(6)]

    def taken(**section: float) -> list[tuple[bool, bool]]:
        """Whether each batch is as it was, and whether each of its pixels is an image's."""
        found = batches(augmented({"all": {"mixup": 1.0, "cutmix": 1.0, **section}}))
        mixed = [found.next().inputs[0] for _ in raw]
        return [
            (torch.equal(m, x), bool(((m == x) | (m == x.flip(0))).all()))
            for m, x in zip(mixed, raw, strict=True)
        ]

    assert all(same for same, _ in taken(mix_probability=1e-9))
    assert not all(same for same, _ in taken(mix_probability=1.0))
    assert all(pasted for _, pasted in taken(mix_switch=1.0))
    assert not any(pasted for _, pasted in taken(mix_switch=0.0))


def test_soft_targets_are_the_mean_of_hard_losses() -> None:
    objective = Classification(3)
    outputs, labels = torch.randn(5, 3), torch.arange(5) % 3
    soft = torch.nn.functional.one_hot(labels, 3).double() * 0.3 + torch.tensor([0.7, 0, 0])
    expected = 0.3 * objective.losses(outputs, labels) + 0.7 * objective.losses(
        outputs, torch.zeros_like(labels)
    )
    assert torch.allclose(objective.losses(outputs, soft), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("section", "of", "message"),
    [
        ({"c": {"hflip": 1}}, None, "unknown task in augmentation 'c'"),
        ({"all": {"policy": "rond-m9"}}, None, "augmentation.all.policy should begin with one of"),
        ({"a": {"policy": "rand-q"}}, None, "augmentation.a.policy: 'q' of 'rand-q' should be"),
        ({"a": {"policy": "rand-q9"}}, None, "augmentation.a.policy: timm does not take 'rand-q9'"),
        ({"a": {"crop": [0.9, 0.2]}}, None, "augmentation.a.crop should be two shares"),
        ({"a": {"transforms": ["CenterCrop"]}}, None, "CenterCrop"),
        ({"a": {"transforms": [{"name": "Resize", "size": [8, 8]}]}}, None, "should keep their sh"),
        ({"a": {"hflip": 1}}, suite(common=True), "read the same images"),
        ({"b": {"mixup": 1}}, suite(objective=Binary()), "need a task of classes.* found binary"),
        ({"all": {"mixup": 1}}, suite(objective=Binary(), common=True), "need a task of classes"),
        ({"a": {"mixup": 1}, "b": {}}, suite(objective=Classification(3, focal_gamma=1.0)), None),
        ({"b": {"cutmix": 1}}, suite(objective=Classification(3, focal_gamma=1.0)), "focal_gamma"),
    ],
)
def test_what_does_not_fit_is_refused(section: Any, of: Suite | None, message: str | None) -> None:
    if message is None:
        augmented(section, of)
        return
    with pytest.raises(MtlError, match=message):
        augmented(section, of)


def test_an_odd_batch_cannot_be_mixed_and_features_have_no_flips() -> None:
    with pytest.raises(MtlError, match="need an even batch_size, found 7"):
        augmented({"all": {"mixup": 1}}, batch=7)
    rows = Examples(torch.rand(6, 5), torch.arange(6) % 3)
    features = Suite("features", [Task("x", Classification(3), rows, rows)])
    with pytest.raises(MtlError, match=r"no uint8 images but float32 of shape \(5,\)"):
        augmented({"all": {"hflip": 1}}, features)
    with pytest.raises(MtlError, match="mixup and cutmix need images"):
        augmented({"all": {"mixup": 1}}, features)


def test_what_stands_at_all_leaves_out_tasks_that_cannot_with_a_line() -> None:
    found = augmented({"all": {"hflip": 1.0, "mixup": 1.0}}, suite(objective=Binary()))
    assert [task.mixing is not None for task in found.tasks] == [True, False]
    assert [task.train.transform is not None for task in found.tasks] == [True, True]
    (note,) = found.notes
    assert note.startswith("augmentation.all does not apply to 'b': mixup and cutmix need a task")


def test_a_run_with_it_resumes_bit_for_bit_and_trains_otherwise(tmp_path: Path) -> None:
    section = {"all": {"pad": 1, "hflip": 0.5, "erase": 0.3}, "rows": {"mixup": 0.4}}
    for strategy in ("soft", "learned"):
        folders = [tmp_path / f"{strategy}-{name}" for name in ("whole", "parts", "plain")]
        start(folders[0], strategy=strategy, augmentation=section).execute()
        finish(start(folders[1], strategy=strategy, augmentation=section), stop_at=2)
        start(folders[1], strategy=strategy, augmentation=section, resume=True).execute()
        start(folders[2], strategy=strategy).execute()
        whole, parts, plain = map(content, folders)
        weights = [name for name in whole if name.endswith(".safetensors")]
        for name in (*weights, "metrics.jsonl"):
            assert whole[name] == parts[name], name
        assert weights
        assert any(whole[name] != plain.get(name) for name in weights)
