"""The suite ``wikitext2`` has one task: which word comes next."""

from collections.abc import Iterator
from pathlib import Path

from mtl_framework import MtlError
from mtl_framework.data import LanguageModel, Suite, Task

from .options import older_names
from .text import numbered, windows

END = "<eos>"


@older_names(lanes="streams", evaluation_lanes="evaluation_streams")
def wikitext2(
    *,
    data_root: str = ".",
    path: str = "wikitext2",
    train: str = "train.txt",
    validation: str | None = "valid.txt",
    test: str = "test.txt",
    positions: int = 35,
    streams: int = 20,
    evaluation_streams: int = 10,
) -> Suite:
    """Predict the next word in articles of Wikipedia, from the text files of WikiText-2.

    Blanks separate words, and ``<eos>`` ends every line. The vocabulary has the words of all files
    together, which are 33,278 in the complete data set. The one task has a stacked LSTM with tied
    embedding, whose state goes on from batch to batch; its metric is the perplexity.

    Source: Merity et al. 2016; set-up of Meyerson and Miikkulainen, NeurIPS 2019, whose code leaves
    out the last window of every text even if it is full, which is not done here.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder of the text files, within ``data_root``.
        train: file with the training text, within the folder.
        validation: file with the validation text, within the folder; null makes no such split.
        test: file with the test text, within the folder.
        positions: number of words of a window, through which gradients flow back.
        streams: number of parallel streams that the training text is cut into, which is the number
            of windows in a batch.
        evaluation_streams: number of parallel streams that a text is cut into for evaluation.

    Raises:
        MtlError: if a file is missing, empty, too short, or serves two splits; the message names
            it.
    """
    files = {"train": train, "validation": validation, "test": test}
    for name, number in (("positions", positions), ("streams", min(streams, evaluation_streams))):
        if number < 1:
            raise MtlError(f"{name} should be at least 1, found {number}")
    _check_different([file for file in files.values() if file is not None])
    folder = Path(data_root) / path
    tokens, vocabulary = numbered(
        {split: _words(folder / file) for split, file in files.items() if file is not None}
    )
    counts = {"train": streams, "validation": evaluation_streams, "test": evaluation_streams}
    splits = {
        split: windows(words, counts[split], positions, str(folder / str(files[split])))
        for split, words in tokens.items()
    }
    task = Task(
        "wikitext2",
        LanguageModel(len(vocabulary)),
        splits["train"],
        splits["test"],
        splits.get("validation"),
        backbone={"name": "lstm_language_model"},
    )
    return Suite("wikitext2", [task])


def _check_different(named: list[str]) -> None:
    if len(set(named)) < len(named):
        raise MtlError(f"train, validation and test should be different files, found {named}")


def _words(file: Path) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MtlError(
            f"there is no file {file}; say where the text lies with --data-root and suite.path, "
            "and which files serve with suite.train, suite.validation and suite.test"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MtlError(f"{file} cannot be read as text: {error}") from error
    for line in text.removesuffix("\n").split("\n"):
        yield from line.split()
        yield END
