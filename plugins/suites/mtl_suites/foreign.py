"""A file may be something else than expected: this module says what it is, and the remedy."""

import zipfile
from pathlib import Path
from typing import NamedTuple

_SAVE = "numpy.savez('data.npz', images=..., labels=...)"
_CSV = "save the sheet as CSV UTF-8"


class Foreign(NamedTuple):
    """This class says what a file is.

    Attributes:
        what: what the file is, e.g. ``an HDF5 file``.
        as_table: how a user makes a table of text of it.
        as_arrays: how a user makes an archive of arrays of it.
    """

    what: str
    as_table: str = "save the table as CSV UTF-8"
    as_arrays: str = f"save its arrays with {_SAVE}"


_UNPACK = "unpack it, and name the file or folder in it"
_HDF5 = (
    "import h5py, numpy; file = h5py.File('FILE'); "
    "numpy.savez('data.npz', **{name: file[name][()] for name in file}), where v7.3 of MATLAB has "
    "the axes in reverse order"
)
_SIGNATURES: tuple[tuple[bytes, Foreign], ...] = (
    (b"PAR1", Foreign("a Parquet file", "call it .parquet", "the suite 'table' reads it")),
    (b"\x89HDF", Foreign("an HDF5 file", "pandas.read_hdf('FILE').to_csv('data.csv')", _HDF5)),
    (b"MATLAB 7.3", Foreign("a MATLAB file of version 7.3, which is HDF5", as_arrays=_HDF5)),
    (b"MATLAB 5.0", Foreign("a MATLAB file", as_table="the suite 'arrays' reads it")),
    (b"\x93NUMPY", Foreign("an array of numpy", as_table="the suite 'arrays' reads .npz files")),
    (b"\xd0\xcf\x11\xe0", Foreign("an old Excel file", _CSV)),
    (
        b"\x1f\x8b",
        Foreign("compressed by gzip", "decompress it (gunzip)", "decompress it (gunzip)"),
    ),
    (b"BZh", Foreign("compressed by bzip2", "decompress it", "decompress it")),
    (b"\xfd7zXZ", Foreign("compressed by xz", "decompress it", "decompress it")),
    (b"\x28\xb5\x2f\xfd", Foreign("compressed by zstd", "decompress it", "decompress it")),
    (b"7z\xbc\xaf", Foreign("an archive", _UNPACK, _UNPACK)),
    (b"Rar!", Foreign("an archive", _UNPACK, _UNPACK)),
    (b"%PDF", Foreign("a PDF file")),
    (b"SQLite format 3", Foreign("a database")),
    (b"ARROW1", Foreign("a Feather file", "pandas.read_feather('FILE').to_csv('data.csv')")),
    (b"<stata_dta", Foreign("a Stata file", "pandas.read_stata('FILE').to_csv('data.csv')")),
    (b"$FL2", Foreign("an SPSS file", "pandas.read_spss('FILE').to_csv('data.csv')")),
    (b"RDX", Foreign("a file of R", "write.csv(data, 'data.csv', row.names = FALSE) in R")),
    (b"\x80", Foreign("a pickle, which would execute code when read")),
    (b"version https://git-lfs", Foreign("a pointer of Git LFS", "git lfs pull", "git lfs pull")),
    (b"\x00\x00\x08", Foreign("a file in MNIST's format (idx)")),
)
_BY_NAME = {
    **dict.fromkeys(
        (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), Foreign("an archive (tar)", _UNPACK, _UNPACK)
    ),
    **dict.fromkeys(
        (".nii", ".nii.gz"),
        Foreign(
            "a volume (NIfTI)",
            as_arrays="nibabel.load('FILE').get_fdata() gives its slices, numpy.savez saves them",
        ),
    ),
}
_MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"{", b"[")
_JSON = Foreign("JSON", "pandas.read_json('FILE').to_csv('data.csv', index=False)")
_JSONL = Foreign("JSON", "pandas.read_json('FILE', lines=True).to_csv('data.csv', index=False)")
_PAGE = Foreign(
    "a web page", "download the file that it stands for", "download the file that it stands for"
)


def foreign(content: bytes, path: Path) -> Foreign | None:
    """Return what a file is if it is neither a table of text nor an archive of arrays.

    Args:
        content: the file's content, at least the first 512 bytes.
        path: path of the file.
    """
    for suffix, known in _BY_NAME.items():
        if path.name.lower().endswith(suffix):
            return _named(known, path)
    for signature, found in _SIGNATURES:
        if content.startswith(signature):
            return _named(found, path)
    if content.startswith(b"PK"):
        return _zip(path)
    if content[257:262] == b"ustar":
        return Foreign("an archive (tar)", _UNPACK, _UNPACK)
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    mark = next((mark for mark in _MARKUP if start.startswith(mark)), b"")
    if mark[:1] == b"<":
        return _PAGE
    if mark and path.suffix.lower() in (".json", ".jsonl", ".ndjson", ".geojson"):
        return _named(_JSONL if path.suffix.lower() in (".jsonl", ".ndjson") else _JSON, path)
    return None


def _named(found: Foreign, path: Path) -> Foreign:
    return Foreign(*(text.replace("FILE", path.name) for text in found))


def _zip(path: Path) -> Foreign:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        names = []
    if any(name.startswith("xl/") for name in names):
        return Foreign("an Excel file", _CSV)
    if "mimetype" in names:
        return Foreign("an OpenDocument file", _CSV)
    if any(name.endswith("data.pkl") for name in names):
        return Foreign("a file of PyTorch (a pickle in a zip)")
    if names and all(name.endswith(".npy") for name in names):
        return Foreign("an archive of arrays (.npz)", "the suite 'arrays' reads it")
    if not names:
        return Foreign("an Excel or OpenDocument file, or an archive, but damaged", _CSV, _UNPACK)
    return Foreign("an archive (zip)", _UNPACK, _UNPACK)


#: What a user can do with files in folders of pictures that are not read as pictures, by suffix.
REMEDIES = {
    ".dcm": "save the slices as 16-bit PNG (pydicom), or as arrays for the suite 'arrays'",
    ".nii": "save the slices as 16-bit PNG (nibabel), or as arrays for the suite 'arrays'",
    ".nii.gz": "save the slices as 16-bit PNG (nibabel), or as arrays for the suite 'arrays'",
    ".npy": "the suite 'table' reads them, with a row a file",
    ".heic": "save them as JPEG or PNG",
    ".heif": "save them as JPEG or PNG",
    ".svs": "save tiles as PNG (openslide)",
    ".tar": "unpack them",
    ".gz": "unpack them",
    ".zip": "unpack them",
    ".mat": "the suite 'arrays' reads them",
    "": "give them the suffix of what they are, e.g. .png",
}
