"""The suite ``crispr`` has one task: how strongly CRISPR binds to a stretch of DNA."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_framework import MtlError
from mtl_framework.data import Examples, Regression, Suite, Task

from .published_pickle import converted, published_or_converted
from .sequences import encoded

SEED = 301
_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def crispr(
    *,
    data_root: str = ".",
    path: str = "crispr",
    context: int = 100,
    train_windows: int = 1_000_000,
    evaluation_windows: int = 100_000,
    batch_size: int | None = 512,
) -> Suite:
    """Predict how strongly CRISPR binds around a base, from the bases before and after it.

    The suite reads the published files ``read_data.pkl``, ``dna_data.pkl`` and ``splits.pkl``. A
    position in a record has ``length`` windows, all with the affinity ``aba`` of the position;
    window i holds bases i to i + 2 * context of the position's part of the sequence
    (``start_offset`` to ``end_offset`` of sequence ``index_position``). Of all windows of a split
    some are drawn at random, always the same ones. Inputs are symbols 0 to 4 for N, A, C, G, T,
    int8. The one task is a regression with the backbone deepbind (DeepBind-256). The published
    files are pickles whose checksums are not known: they are read only after ``python -m
    mtl_suites.convert_pickle --trust`` has turned them into JSON.

    Source: Jung et al., Cell 2017; set-up of Meyerson and Miikkulainen, NeurIPS 2019. Their metric
    is the mean squared error, which is the square of the root mean squared error reported here.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder of the files, within ``data_root``.
        context: number of bases on each side of a window's middle base, at least 1.
        train_windows: highest number of training windows, at least 1.
        evaluation_windows: highest number of validation windows, and of test windows, at least 1.
        batch_size: number of windows in a training batch; null takes the run's batch size.

    Raises:
        MtlError: if an entry is missing or does not fit; the message names it and the file.
    """
    amounts = {"context": context, "train_windows": train_windows}
    for name, number in (amounts | {"evaluation_windows": evaluation_windows}).items():
        if number < 1:
            raise MtlError(f"{name} should be at least 1, found {number}")
    folder = Path(data_root) / path
    if not folder.is_dir():
        raise MtlError(
            f"there is no folder {folder}; say where the data lies with --data-root and suite.path"
        )
    most = {"train": train_windows}
    examples = _splits(folder, context, {s: most.get(s, evaluation_windows) for s in _SPLITS})
    task = Task(
        "crispr",
        Regression(),
        examples["train"],
        examples["test"],
        examples["validation"],
        batch_size=batch_size,
        backbone={"name": "deepbind"},
    )
    return Suite("crispr", [task])


def _splits(folder: Path, context: int, most: Mapping[str, int]) -> dict[str, Examples]:
    """Return the examples of every split, at most as many as ``most`` says."""
    files = {name: folder / f"{name}.pkl" for name in ("read_data", "dna_data", "splits")}
    reads, sequences, splits = (published_or_converted(file, {}) for file in files.values())
    files = {name: p if not converted(p).is_file() else converted(p) for name, p in files.items()}
    examples = {}
    for split, name in _SPLITS.items():
        try:
            places = splits[name]
        except (KeyError, TypeError, IndexError):
            raise MtlError(f"{files['splits']} has no split {name!r}") from None
        examples[split] = _examples(reads, sequences, places, context, most[split], files)
    return examples


def _examples(
    reads: Any,
    sequences: Any,
    places: Sequence[Any],
    context: int,
    most: int,
    files: Mapping[str, Path],
) -> Examples:
    """Draw windows from the places of a split, each of which is a pair (record, position).

    Windows of all places are numbered one place behind the other. With 3, 2 and 4 windows window 4
    is the second one of place 1: it is below ends[1] = 5, and 4 - (5 - 2) = 1.
    """
    width = 2 * context + 1
    parts, lengths, affinities = [], [], []
    for place in places:
        try:
            record, position = place
            found = reads[record][position]
            sequence = sequences[record][found["index_position"]]
            bases = sequence[int(found["start_offset"]) : int(found["end_offset"])]
            length, affinity = int(found["length"]), float(found["aba"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise MtlError(f"{files['read_data']}: {place!r} does not fit: {reason}") from error
        if length < 1 or len(bases) < length + width - 1:
            raise MtlError(
                f"{files['read_data']}: {place!r} has {length} windows of {width} bases, but "
                f"{len(bases)} bases in {files['dna_data'].name}"
            )
        parts.append(encoded(bases, f"{files['dna_data']}, {place!r}"))
        lengths.append(length)
        affinities.append(affinity)
    if not parts:
        raise MtlError(f"{files['splits']} has an empty split")
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    chosen = np.random.default_rng(SEED).choice(total, min(most, total), replace=False)
    part = np.searchsorted(ends, chosen, side="right")
    start = chosen - (ends[part] - np.asarray(lengths)[part])
    inputs = np.stack([parts[p][s : s + width] for p, s in zip(part, start, strict=True)])
    targets = torch.tensor(affinities)[torch.from_numpy(part)]
    return Examples(torch.from_numpy(inputs), targets)
