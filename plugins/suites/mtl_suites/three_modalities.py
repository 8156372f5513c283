"""The suite ``three_modalities`` has images, text and DNA, each with its own kind of network."""

import hashlib
import pydoc_data.topics

import numpy as np
import torch

from mtl_framework import MtlError
from mtl_framework.data import Classification, Examples, LanguageModel, Regression, Suite, Task

from .handwriting import NUM_DIGITS, enlarge, handwriting, split_digits
from .motifs import motif_examples
from .options import older_names
from .text import windows

CHARACTERS = "\n " + "abcdefghijklmnopqrstuvwxyz" + "0123456789" + ".,;:!?'\"()[]{}<>=+-*/_`#%&@"
HELD = 20_000  # number of validation characters, and of test characters
POSITIONS = 35


@older_names(lanes="streams")
def three_modalities(
    *,
    size: int = 28,
    train_characters: int = 200_000,
    streams: int = 20,
    train_sequences: int = 2000,
    sequence_length: int = 101,
    text_width: int = 128,
    dna_width: int = 64,
    batch_size: int | None = 32,
) -> Suite:
    """Learn handwritten digits, English prose by characters, and DNA motifs; needs no download.

    - ``digits``: real handwriting (UCI) as (1, size, size) images, with LeNet; error in percent.
    - ``text``: the next character of the language reference that Python carries for its ``help``
      (``pydoc_data.topics``), with a stacked LSTM whose state goes on from batch to batch; the
      metric is the perplexity of a character. Another version of Python has slightly other prose: a
      digest of it is kept with the run.
    - ``dna``: how well a sequence's best place fits a motif drawn from a fixed seed, with DeepBind;
      the metric is the root of the mean squared error, which is about 1 for a constant guess.

    Args:
        size: width and height of the digits in pixels, from 10 to 224.
        train_characters: number of training characters of the text, up to 300,000; 20,000 more are
            for validation and for test each.
        streams: number of parallel streams of the text in a batch.
        train_sequences: number of training sequences of DNA; 500 more are for validation and for
            test each.
        sequence_length: number of bases of a sequence, from 24 to 10,000.
        text_width: number of units of each of the LSTM's layers.
        dna_width: number of channels of DeepBind, the network that reads DNA.
        batch_size: number of digits, and of sequences, in a training batch; null takes the run's
            batch size.

    Raises:
        MtlError: if an option is wrong; the message names it, its value, and what is allowed.
    """
    for name, number, least, most in (
        ("size", size, 10, 224),
        ("train_characters", train_characters, streams * (POSITIONS + 1), 300_000),
        ("streams", streams, 1, 500),
        ("train_sequences", train_sequences, 2, 1_000_000),
        ("sequence_length", sequence_length, 24, 10_000),
    ):
        if not least <= number <= most:
            raise MtlError(f"{name} should be from {least} to {most}, found {number}")
    reading, digest = _reading_task(train_characters, streams, text_width)
    tasks = [
        _digits_task(size, batch_size),
        reading,
        _dna_task(train_sequences, sequence_length, dna_width, batch_size),
    ]
    return Suite("three_modalities", tasks, record={"sha256_of_text": digest})


def _reading_task(train_characters: int, streams: int, width: int) -> tuple[Task, str]:
    """Make the task of the text, and a digest of what it reads."""
    text, digest = _text(train_characters)
    reading = {
        split: windows(part, streams if split == "train" else 10, POSITIONS, f"{split} text")
        for split, part in text.items()
    }
    task = Task(
        "text",
        LanguageModel(len(CHARACTERS)),
        reading["train"],
        reading["test"],
        reading["validation"],
        backbone={"name": "lstm_language_model", "args": {"width": width}},
    )
    return task, digest


def _dna_task(sequences: int, length: int, width: int, batch_size: int | None) -> Task:
    dna = motif_examples({"train": sequences, "validation": 500, "test": 500}, length, seed=0)
    return Task(
        "dna",
        Regression(),
        dna["train"],
        dna["test"],
        dna["validation"],
        batch_size,
        {"name": "deepbind", "args": {"width": width}},
    )


def _digits_task(size: int, batch_size: int | None) -> Task:
    writing = _digits(size)
    return Task(
        "digits",
        Classification(10),
        writing["train"],
        writing["test"],
        writing["validation"],
        batch_size,
        {"name": "lenet"},
    )


def _digits(size: int) -> dict[str, Examples]:
    writing = handwriting()
    found = {}
    for split, chosen in split_digits(NUM_DIGITS - 2 * 360, 360, 360).items():
        images = np.stack([enlarge(image, size) for image in writing.images[chosen]])
        labels = torch.from_numpy(writing.labels[chosen])
        found[split] = Examples(torch.from_numpy(images)[:, None], labels)
    return found


def _text(train: int) -> tuple[dict[str, torch.Tensor], str]:
    """Return the characters of every split as numbers, and a digest of them all.

    Topics of the prose stand in the order of their names. Characters that are not in
    :data:`CHARACTERS` become blanks, and several blanks between words become one.
    """
    topics = pydoc_data.topics.topics
    prose = "\n".join(topics[name] for name in sorted(topics)).lower()
    lines = (" ".join(line.split()) for line in prose.splitlines())
    joined = "\n".join(line for line in lines if line)
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    blank = numbers[" "]
    all_numbers = torch.tensor([numbers.get(character, blank) for character in joined])
    if len(all_numbers) < train + 2 * HELD:
        raise MtlError(
            f"train_characters should be at most {len(all_numbers) - 2 * HELD} with this Python, "
            f"found {train}"
        )
    ends = (HELD, 2 * HELD, 2 * HELD + train)
    used = all_numbers[: ends[2]]
    parts = {
        "test": used[: ends[0]],
        "validation": used[ends[0] : ends[1]],
        "train": used[ends[1] :],
    }
    return parts, hashlib.sha256(bytes(used.tolist())).hexdigest()
