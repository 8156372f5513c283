"""Mutated data files: pictures, tables, arrays, pickles; each is read, or refused by lines."""

import io
import pickle
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from mtl_suites.arrays import arrays
from mtl_suites.cifar10 import cifar10
from mtl_suites.folders import folders
from mtl_suites.omniglot import omniglot
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data import Suite
from mtl_framework.data.overview import overview
from mtl_framework.support.errors import MtlError, ProblemsError

from .configs import checked, shown
from .harness import FaultError

SUFFIXES = ("png", "jpg", "gif", "bmp", "tiff", "webp", "ppm")
CELLS = (
    "", " ", "nan", "-999", "1e400", "=1+1", "\x1b[2J", '"', "'", "\x00", ",", ";", "\t", "é",
    "日本",     "9" * 400, "0x10", "01", "TRUE", "2020-01-01", "../../../etc/passwd", "/dev/zero",
    "a.png", "-0",
)  # fmt: skip


class Payload:
    """A pickle of it executes code where it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, ("true",)


def picture(number: int) -> Image.Image:
    pixels = np.full((8, 9, 3), 10 * number, np.uint8)
    pixels[0, 0] = number
    return Image.fromarray(pixels)


class DataFiles:
    """A folder of pictures, a table, an archive of arrays and published files, each damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(12):
            split = ("train", "train", "test")[number % 3]
            for name in ("t", "u"):
                file = folder / "pictures" / name / split / "ab"[number // 6]
                file.mkdir(parents=True, exist_ok=True)
                picture(number + 12 * (name == "u")).save(
                    file / f"{number}.{SUFFIXES[number % len(SUFFIXES)]}"
                )
        rows = ["image,split,kind,size,left"]
        (folder / "table" / "images").mkdir(parents=True)
        for number in range(20):
            picture(number).save(folder / "table" / "images" / f"{number}.png")
            split = "train" if number < 12 else "test"
            rows.append(
                f"images/{number}.png,{split},{'abc'[number % 3]},{number / 7},{number % 2}"
            )
        (folder / "table" / "t.csv").write_text("\n".join(rows) + "\n")
        (folder / "arrays").mkdir()
        images = np.arange(24 * 20, dtype=np.uint8).reshape(24, 4, 5)
        np.savez(
            folder / "arrays" / "a.npz",
            images=images,
            kind=np.arange(24) % 3,
            size=np.linspace(0, 1, 24),
            split=np.array(["train"] * 16 + ["test"] * 8),
        )

    def attempt(self, number: int, generator: random.Random, folder: Path) -> str:
        """Damage a copy of one kind of data, and make its suite."""
        kinds: dict[str, Callable[[random.Random, Path], Suite]] = {
            "arrays": self.arrays,
            "pickles": self.pickles,
            "pictures": self.pictures,
            "table": self.table,
        }
        kind = generator.choice(sorted(kinds))
        try:
            suite = kinds[kind](generator, folder)
            overview(suite, copies=True)
        except ProblemsError as error:
            for problem in error.problems:
                checked(problem)
            return f"{kind}: refused"
        except MtlError as error:
            return f"{kind}: {checked(str(error))}"
        for text in (*suite.notes, *suite.task_names):
            if "\x1b" in shown(text):
                raise FaultError(f"an escape sequence reaches what is printed: {text!r}")
        return f"{kind}: read"

    def pictures(self, generator: random.Random, folder: Path) -> Suite:
        shutil.copytree(self.folder / "pictures", folder / "p")
        files = sorted(path for path in (folder / "p").rglob("*") if path.is_file())
        for file in generator.sample(files, generator.randrange(1, 5)):
            damage_picture(file, generator)
        if generator.random() < 0.3:
            litter(generator.choice(files).parent, generator)
        options: dict[str, Any] = {"skip_bad": generator.random() < 0.3}
        options["check_images"] = generator.random() < 0.8
        return folders(path="p", data_root=str(folder), **options)

    def table(self, generator: random.Random, folder: Path) -> Suite:
        shutil.copytree(self.folder / "table", folder / "t")
        file = folder / "t" / "t.csv"
        if generator.random() < 0.2:
            damage_picture(generator.choice(sorted((folder / "t" / "images").iterdir())), generator)
        cells = [line.split(",") for line in file.read_text().splitlines()]
        for _ in range(generator.randrange(0, 6)):
            row = generator.randrange(len(cells))
            cells[row][generator.randrange(len(cells[row]))] = generator.choice(CELLS)
        if generator.random() < 0.2:
            del cells[generator.randrange(len(cells))][0]
        separator = generator.choice([",", ",", ";", "\t", "|", ""])
        text = "\n".join(separator.join(row) for row in cells)
        encoding = generator.choice(["utf-8", "utf-8", "utf-16", "cp1252", "utf-32", "utf-8-sig"])
        data = text.encode(encoding, errors="replace")
        file.write_bytes(damaged(data, generator) if generator.random() < 0.4 else data)
        if generator.random() < 0.1:
            file = file.rename(file.with_suffix(".parquet"))
        options: dict[str, Any] = {"skip_bad": generator.random() < 0.3}
        return table(path=f"t/{file.name}", data_root=str(folder), **options)

    def arrays(self, generator: random.Random, folder: Path) -> Suite:
        with zipfile.ZipFile(self.folder / "arrays" / "a.npz") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        for _ in range(generator.randrange(1, 4)):
            name = generator.choice(sorted(members))
            members[name] = damaged_array(members[name], generator)
        file = folder / "a.npz"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        if generator.random() < 0.3:
            file.write_bytes(damaged(file.read_bytes(), generator))
        return arrays(path="a.npz", data_root=str(folder), tasks=["kind", "size"])

    def pickles(self, generator: random.Random, folder: Path) -> Suite:
        value: Any = {b"data": np.zeros((10, 3072), np.uint8), b"labels": list(range(10))}
        if generator.random() < 0.5:
            value = Payload()
        data = pickle.dumps(value, protocol=generator.randrange(5))
        if generator.random() < 0.5:
            data = damaged(data, generator)
        place = folder / "cifar-10-batches-py"
        place.mkdir()
        for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
            (place / name).write_bytes(data)
        (folder / "omniglot_small.npz").write_bytes(data)
        readers: list[Callable[..., Suite]] = [cifar10, omniglot]
        return generator.choice(readers)(data_root=str(folder))


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Cut, changed, doubled or random bytes."""
    kind, at = generator.randrange(5), generator.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + generator.randbytes(generator.randrange(1, 9)) + data[at + 8 :]
    if kind == 2:
        return data + data[at:]
    if kind == 3:
        return generator.randbytes(at % 3000)
    return bytes(
        byte ^ 1 << generator.randrange(8) if n == at else byte for n, byte in enumerate(data)
    )


def damage_picture(file: Path, generator: random.Random) -> None:
    """Make a file of a picture something else."""
    kind = generator.randrange(9)
    if kind < 4:
        file.write_bytes(damaged(file.read_bytes(), generator))
    elif kind == 4:
        file.write_bytes(vast_png(generator))
    elif kind == 5:
        file.unlink()
        file.symlink_to(generator.choice([file, file.parent, Path("/dev/null"), Path("/nowhere")]))
    elif kind == 6:
        file.unlink()
        file.mkdir()
    elif kind == 7:
        size = generator.choice([(1, 1), (9, 8), (300, 2), (8, 9)])
        mode = generator.choice(["1", "L", "P", "RGBA", "CMYK", "I;16", "F", "LAB"])
        image = io.BytesIO()
        Image.new(mode, size).save(image, "TIFF")
        file.write_bytes(image.getvalue())
    else:
        file.write_bytes(pickle.dumps(Payload()))


def vast_png(generator: random.Random) -> bytes:
    """A small file of a picture that would need gigabytes."""
    side = generator.choice([20_000, 60_000, 2**31 - 1])

    def chunk(name: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\x00" * 100_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def litter(folder: Path, generator: random.Random) -> None:
    """What other systems leave behind."""
    name = generator.choice(["._1.png", "Thumbs.db", ".DS_Store", "desktop.ini", "a\x1b[2Jb.png"])
    (folder / name).write_bytes(generator.randbytes(30))
    (folder / "__MACOSX").mkdir(exist_ok=True)


def damaged_array(data: bytes, generator: random.Random) -> bytes:
    """An .npy file with another header or content, or a pickle in it."""
    kind = generator.randrange(6)
    if kind == 0:
        return damaged(data, generator)
    if kind == 1:
        return pickle.dumps(Payload())
    out = io.BytesIO()
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception:  # it is damaged already
        return damaged(data, generator)
    if kind == 2:
        shape = generator.choice([(2**40,), (2**31, 2**31), (-1,), (0,), ()])
        np.lib.format.write_array_header_1_0(
            out,
            {
                "descr": generator.choice(["<f8", "|u1", "|O", "<U9"]),
                "fortran_order": False,
                "shape": shape,
            },
        )
        return out.getvalue() + data[-100:]
    if kind == 3:
        np.save(out, np.array([Payload()], dtype=object), allow_pickle=True)
    elif kind == 4:
        dtype = generator.choice(["f2", "f8", "i1", "u8", "c8", "U3", "S2", "M8[s]", "?"])
        with np.errstate(all="ignore"), suppress(ValueError, TypeError):
            np.save(out, array.astype(dtype))
    else:
        shape = generator.choice([(0,), (24, 0), (24, 1, 1, 1, 1), (3, 3), (24, 70, 2)])
        values = [0, 1, -1, np.nan, np.inf, 300, 2**60]
        np.save(out, np.full(shape, generator.choice(values)))
    return out.getvalue()
