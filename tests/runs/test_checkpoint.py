"""Checkpoints: everything comes back, and nothing damaged comes back at all."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mtl_framework.runs.checkpoint import Checkpoints, load_state, save_state
from mtl_framework.support.errors import MtlError

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8,
          torch.int32, torch.bool]  # fmt: skip


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = draw(st.sampled_from(DTYPES))
    values = torch.randn(shape, dtype=torch.float64) * 100
    values = values.abs().to(dtype)
    kind = draw(st.sampled_from(["plain", "transposed", "expanded", "sliced"]))
    if kind == "transposed" and values.ndim > 1:
        return values.transpose(0, 1)
    if kind == "expanded":
        return values[None].expand(2, *values.shape)
    if kind == "sliced" and values.ndim and values.shape[0] > 1:
        return values[1::2]
    return values


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), tensors()
)
keys = st.one_of(st.text(max_size=4), st.integers(-3, 3), st.just("__metadata__"))
states = st.dictionaries(
    keys,
    st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(keys, inner, max_size=3),
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, float):
        assert a == b or (math.isnan(a) and math.isnan(b))
        assert math.copysign(1, a) == math.copysign(1, b) or math.isnan(a)
    else:
        assert a == b


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(state=states)
def test_every_state_comes_back(tmp_path: Path, state: dict[Any, Any]) -> None:
    save_state(tmp_path / "state.of.all", state)
    assert_same(load_state(tmp_path / "state.of.all"), state)


def test_an_optimizer_state_comes_back(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
    layer(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    save_state(tmp_path / "o", optimizer.state_dict())
    loaded = load_state(tmp_path / "o")
    assert_same(loaded, optimizer.state_dict())
    torch.optim.AdamW(layer.parameters(), 0.1).load_state_dict(loaded)


def test_a_shared_tensor_is_stored_once_and_stays_shared(tmp_path: Path) -> None:
    shared = torch.rand(1000)
    save_state(
        tmp_path / "s", {"a": shared, "b": [shared, shared.view(10, 100)], "c": shared[:500]}
    )
    assert (tmp_path / "s.safetensors").stat().st_size < 2.6 * 4000
    state = load_state(tmp_path / "s")
    assert state["a"] is state["b"][0]
    state["c"].zero_()  # an overlapping view comes back apart
    assert torch.equal(state["a"], shared)
    assert torch.equal(state["b"][1], shared.view(10, 100))


def test_equal_tensors_that_are_not_one_stay_apart(tmp_path: Path) -> None:
    save_state(tmp_path / "s", {"a": torch.ones(2), "b": torch.ones(2)})
    state = load_state(tmp_path / "s")
    state["a"].zero_()
    assert torch.equal(state["b"], torch.ones(2))


@pytest.mark.parametrize(
    ("bad", "found"),
    [({1, 2}, "set"), (b"x", "bytes"), (object(), "object"), (torch.float32, "dtype"),
     ({(1, 2): 3}, "(1, 2)"), ({True: 3}, "True"), (torch.rand(2).to_sparse(), "sparse"),
     (torch.ones(1, dtype=torch.complex64), "complex64")],
)  # fmt: skip
def test_what_cannot_be_saved_is_named_before_anything_is_written(
    tmp_path: Path, bad: Any, found: str
) -> None:
    save_state(tmp_path / "s", {"kept": 1})
    with pytest.raises(MtlError) as error:
        save_state(tmp_path / "s", {"a": {"b": [0, bad]}})
    assert "/a/b/1" in str(error.value)
    assert found in str(error.value)
    assert load_state(tmp_path / "s") == {"kept": 1}


def small_checkpoint(folder: Path) -> Path:
    stem = folder / "last-00000001"
    save_state(stem, {"x": torch.arange(6.0), "n": {3: [1, 2.5, None, float("nan")]}, "t": "é"})
    return stem


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_every_truncation_is_refused(tmp_path: Path, suffix: str) -> None:
    file = Path(f"{small_checkpoint(tmp_path)}{suffix}")
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(MtlError, match="last-00000001"):
            load_state(tmp_path / "last-00000001")


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_every_flipped_bit_is_refused(tmp_path: Path, suffix: str) -> None:
    file = Path(f"{small_checkpoint(tmp_path)}{suffix}")
    whole = file.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        file.write_bytes(bytes(flipped))
        with pytest.raises(MtlError, match="last-00000001"):
            load_state(tmp_path / "last-00000001")


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_foreign_and_missing_files_are_refused(tmp_path: Path, suffix: str) -> None:
    file = Path(f"{small_checkpoint(tmp_path)}{suffix}")
    generator = random.Random(0)
    foreign = [b"", b"{}", b"null", b"[" * 5000, b"PK\x03\x04", b'{"sha256": "", "body": {}}\n']
    foreign += [generator.randbytes(200) for _ in range(20)]
    for data in foreign:
        file.write_bytes(data)
        with pytest.raises(MtlError, match="damaged"):
            load_state(tmp_path / "last-00000001")
    file.unlink()
    with pytest.raises(MtlError, match=file.name):
        load_state(tmp_path / "last-00000001")
    file.mkdir()
    with pytest.raises(MtlError, match=file.name):
        load_state(tmp_path / "last-00000001")


def test_files_of_two_checkpoints_do_not_mix(tmp_path: Path) -> None:
    save_state(tmp_path / "a", {"x": torch.zeros(2)})
    save_state(tmp_path / "b", {"x": torch.ones(2)})
    (tmp_path / "b.safetensors").replace(tmp_path / "a.safetensors")
    with pytest.raises(MtlError, match=r"a\.safetensors is damaged"):
        load_state(tmp_path / "a")


def test_the_newest_complete_checkpoint_is_found(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    assert checkpoints.latest("last") is None
    for kind, iteration in (("last", 9), ("last", 10), ("best", 12)):
        checkpoints.save(kind, iteration, {"n": iteration})
    (tmp_path / "checkpoint" / "last-00000011.safetensors").write_bytes(b"half of it")
    assert checkpoints.latest("last") == 10
    assert checkpoints.load("best", 12) == {"n": 12}


def test_only_the_kept_checkpoints_and_foreign_files_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for kind, iteration in (("last", 2), ("last", 4), ("best", 2), ("best", 6)):
        checkpoints.save(kind, iteration, {"x": torch.zeros(1)})
    for name in (".last-00000004.json.tmp", ".last-00000008.safetensors.tmp", "notes.txt"):
        (tmp_path / name).write_text("x")
    checkpoints.keep_only([("last", 4), ("best", 2)])
    assert {path.name for path in tmp_path.iterdir()} == {
        "last-00000004.json", "last-00000004.safetensors",
        "best-00000002.json", "best-00000002.safetensors", "notes.txt",
    }  # fmt: skip


def test_a_full_disk_is_named_and_leaves_the_former_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("last", 1, {"n": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(MtlError, match=r"cannot write .*last-00000002.*No space left"):
            checkpoints.save("last", 2, {"n": 2})
    assert checkpoints.latest("last") == 1
    assert checkpoints.load("last", 1) == {"n": 1}
    assert not list(tmp_path.glob(".*"))


def test_two_checkpoints_of_one_moment_hold_common_tensors_once(tmp_path: Path) -> None:
    weights, moments = torch.rand(50_000), torch.rand(1000)
    saved = save_state(tmp_path / "best-00000003", {"network": {"w": weights}})
    save_state(tmp_path / "last-00000003", {"w": weights, "tied": weights, "m": moments}, saved)
    assert (tmp_path / "last-00000003.safetensors").stat().st_size < 10_000
    state = load_state(tmp_path / "last-00000003")
    assert torch.equal(state["w"], weights)
    assert torch.equal(state["m"], moments)
    assert state["w"] is state["tied"]
    save_state(tmp_path / "best-00000003", {"network": {"w": weights + 1}})
    with pytest.raises(MtlError, match=r"best-00000003\.safetensors is damaged"):
        load_state(tmp_path / "last-00000003")


def test_zeros_take_no_room_and_come_back(tmp_path: Path) -> None:
    zeros, negative = torch.zeros(300, 500), torch.full((2000,), -0.0)
    counts = torch.zeros(4096, dtype=torch.int64)
    save_state(tmp_path / "s", {"a": zeros, "b": [zeros, counts], "n": negative})
    assert (tmp_path / "s.safetensors").stat().st_size < 10_000
    state = load_state(tmp_path / "s")
    assert state["a"] is state["b"][0]
    assert_same(state, {"a": zeros, "b": [zeros, counts], "n": negative})
    assert bool(torch.signbit(state["n"]).all())
