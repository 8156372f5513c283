"""Archives of arrays that are damaged or odd are refused by a line."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.arrays import arrays
from mtl_suites.labels import summary

from mtl_framework.support.errors import MtlError


def chosen(folder: Path, **contents: Any) -> Any:
    good: dict[str, Any] = {
        "images": np.arange(480, dtype=np.uint8).reshape(24, 4, 5),
        "kind": np.arange(24) % 3,
    }
    np.savez(folder / "a.npz", **(good | contents))
    return arrays(path="a.npz", data_root=str(folder), tasks=["kind"])


@pytest.mark.parametrize(
    "contents",
    [
        {"images": np.full((24, 4, 5), b"ab")},
        {"kind": np.array(3)},
        {"kind": np.zeros((24, 0))},
        {"images": np.zeros((0, 4, 5))},
        {"images": np.zeros((24, 4, 5), "M8[s]")},
        {"kind": np.full(24, 0x7FFFFFFF, np.uint32).view("U1")},
    ],
)
def test_odd_arrays_are_refused(tmp_path: Path, contents: dict[str, Any]) -> None:
    with pytest.raises(MtlError):
        chosen(tmp_path, **contents)


@pytest.mark.parametrize("data", [b"no array", b"\x93NUMPY\x01\x00\x08\x00{'descr\x00", b""])
def test_members_that_are_no_arrays_are_refused(tmp_path: Path, data: bytes) -> None:
    chosen(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("more.npy", data)
        archive.writestr("kind_names.npy", data)
    with pytest.raises(MtlError, match="kind_names"):
        arrays(path="a.npz", data_root=str(tmp_path), tasks=["kind"])


def test_a_column_without_a_number_has_a_summary() -> None:
    assert "0 labelled" in summary("size", "numbers", np.zeros(0), 4)
