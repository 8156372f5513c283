"""One input in two splits of arrays: what is measured on it was seen in training."""

import hashlib
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from .duplicates import Policy, copies_between
from .faults import Faults


@runtime_checkable
class Inputs(Protocol):
    """Inputs of all splits, one behind the other."""

    what: str
    inputs: np.ndarray

    @property
    def are_images(self) -> bool:
        """Whether they are pictures."""

    def name(self, row: int) -> str:
        """What a row is called in messages."""


Chosen = dict[str, Int64[np.ndarray, " _"]]


def without_copies(
    table: Inputs,
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    chosen: Mapping[str, Int64[np.ndarray, " _"]],
    policy: Policy,
    faults: Faults,
) -> tuple[Chosen, list[str]]:
    """Rows by split, and lines that tell of inputs that two splits have.

    Pictures in training and test are faults where the file names the splits and ``policy`` is
    ``refuse``, and are taken out of training; all others are told, unless ``policy`` is ``allow``.

    Args:
        table: the inputs.
        rows: by split as the file names them.
        chosen: the rows of every split.
        policy: what to do.
        faults: gets the pictures that are refused.
    """
    kept = {split: np.asarray(members) for split, members in chosen.items()}
    if policy == "allow":
        return kept, []
    refuse = policy == "refuse" and None not in rows and table.are_images
    same: dict[bytes, list[tuple[str, int]]] = {}
    for split, members in chosen.items():
        for row in members.tolist():
            digest = hashlib.blake2b(table.inputs[row].tobytes(), digest_size=16).digest()
            same.setdefault(digest, []).append((split, row))
    copies = copies_between(same.values())
    lines = []
    for (earlier, later), both in copies.pairs.items():
        if refuse and (earlier, later) == ("train", "test"):
            for one, other in both:
                faults.add(
                    f"{table.what}: {table.name(other)}",
                    f"is the same picture in test as {table.name(one)} in train: remove one, or "
                    "set suite.duplicates=warn",
                )
            kept["train"] = kept["train"][~np.isin(kept["train"], copies.train)]
        else:
            lines.append(
                f"{table.what}: {len(both)} inputs are in both {earlier} and {later}, e.g. "
                f"{table.name(both[0][0])} and {table.name(both[0][1])}"
            )
    return kept, lines
