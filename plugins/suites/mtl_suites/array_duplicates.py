"""Arrays may have one input in two splits, so that a network is tested on what it has seen."""

import hashlib
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from .duplicates import Policy, copies_between
from .faults import Faults


@runtime_checkable
class Inputs(Protocol):
    """These are the inputs of all splits, one split behind the other.

    Attributes:
        what: what the inputs are called in messages.
        inputs: the inputs (rows, ...).
    """

    what: str
    inputs: np.ndarray

    @property
    def are_images(self) -> bool:
        """Say whether the inputs are images."""

    def name(self, row: int) -> str:
        """Return what a row is called in messages."""


Chosen = dict[str, Int64[np.ndarray, " _"]]


def without_copies(
    table: Inputs,
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    chosen: Mapping[str, Int64[np.ndarray, " _"]],
    policy: Policy,
    faults: Faults,
) -> tuple[Chosen, list[str]]:
    """Return the rows of every split, and lines that tell which inputs are in two splits.

    Images that are in training and in test are faults, and are taken out of training, where the
    file itself says which split a row is in and ``policy`` is ``refuse``. Other inputs in two
    splits get a line, and stay. With ``policy: allow`` nothing is looked for.

    Args:
        table: the inputs of all splits.
        rows: the rows by the split that the file names; under ``None`` those without one.
        chosen: the rows of every split, which are compared.
        policy: what happens to inputs that are in two splits.
        faults: the collection that gets the images that are refused.
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
