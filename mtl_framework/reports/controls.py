"""Searched, retrained, permuted and roaming runs are compared, and differences put in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..runs.records import Group, RunRecord, Select
from .by_seed import errors_by_seed
from .stats import Difference, Spread, difference, holm, less_p, smallest_p, spread

SEARCHED = "searched"
_ORDER = (SEARCHED, "retrained", "permuted", "roaming")
#: What is asked, the kind that should be better, and the one that it is compared with.
_QUESTIONS = (
    ("Does the assignment help?", "retrained", "permuted"),
    ("Does the search help?", SEARCHED, "roaming"),
    ("Does training while searching help?", SEARCHED, "retrained"),
    ("Does wandering help?", "roaming", "permuted"),
)


@dataclass(frozen=True)
class ControlRow:
    """A row has one kind's errors over seeds, a seed's error being the mean of its permutations."""

    kind: str
    runs: int
    done: int
    error: Spread | None


@dataclass(frozen=True)
class Question:
    """A question is one test: is the mean error of ``better`` smaller than that of ``other``?

    ``p_holm`` is corrected over the questions of one learned strategy; ``seeds`` are those that
    both have.
    """

    text: str
    better: str
    other: str
    difference: Difference
    p: float
    p_holm: float
    seeds: int


@dataclass(frozen=True)
class Controls:
    """This object holds the controls of one learned strategy, and their verdict in a sentence."""

    strategy: str
    rows: tuple[ControlRow, ...]
    questions: tuple[Question, ...]
    verdict: str


def analyse_controls(
    group: Group, baseline: str | None, significance: float, select: Select
) -> list[Controls]:
    """Analyse the controls of every strategy of a group that has some.

    Args:
        group: runs of one suite and backbone, with their controls.
        baseline: strategy that Delta m refers to, where tasks have different metrics.
        significance: significance level of the tests.
        select: networks that count: after the last step, or the best by validation.
    """
    strategies = dict.fromkeys(r.control.of for r in group.controls if r.control is not None)
    return [_of(group, strategy, baseline, significance, select) for strategy in strategies]


def _of(
    group: Group, strategy: str, baseline: str | None, significance: float, select: Select
) -> Controls:
    records: dict[str, list[RunRecord]] = {SEARCHED: group.of(strategy)}
    for record in group.controls:
        if record.control is not None and record.control.of == strategy:
            records.setdefault(record.control.kind, []).append(record)
    kinds = [kind for kind in _ORDER if kind in records]
    errors = {kind: errors_by_seed(group, records[kind], baseline, select) for kind in kinds}
    rows = tuple(
        ControlRow(
            kind,
            len(records[kind]),
            sum(record.result is not None for record in records[kind]),
            spread(list(errors[kind].values())),
        )
        for kind in kinds
    )
    questions = _questions(errors)
    verdict = _verdict(questions, significance)
    if select == "best" and any(_moved_on(record) for record in records[SEARCHED]):
        verdict += (
            " Searched figures are those that validation prefers; controls train the assignment "
            "of the last step, which may be another."
        )
    if len(group.tasks) == 2 and "permuted" not in records:
        verdict += " Two tasks cannot be permuted: they would share as before."
    return Controls(strategy, rows, questions, verdict)


def _moved_on(record: RunRecord) -> bool:
    """Say whether a run went on after networks whose assignment it has not kept."""
    result = record.result
    return (
        result is not None
        and result.best is not None
        and result.best.assignment is None
        and result.best.iteration < result.iterations
    )


def _questions(errors: Mapping[str, Mapping[int, float]]) -> tuple[Question, ...]:
    """Ask what can be asked, of the seeds that both kinds have.

    A seed whose assignment is trivial has no permutation, so that its other runs tell nothing of
    one.
    """
    asked = []
    for text, a, b in _QUESTIONS:
        ours, theirs = errors.get(a, {}), errors.get(b, {})
        common = [seed for seed in ours if seed in theirs]
        if common:
            asked.append((text, a, b, {s: ours[s] for s in common}, {s: theirs[s] for s in common}))
    p_values = [less_p(list(x.values()), list(y.values())) for _, _, _, x, y in asked]
    questions = []
    for (text, a, b, x, y), p, p_holm in zip(asked, p_values, holm(p_values), strict=True):
        effect = difference(x, y)
        assert effect is not None
        questions.append(Question(text, a, b, effect, p, p_holm, len(x)))
    return tuple(questions)


def _verdict(questions: Sequence[Question], significance: float) -> str:
    if not questions:
        return "Nothing can be said yet."
    reach = min(smallest_p(q.seeds, q.seeds) for q in questions)
    if reach * len(questions) >= significance:
        return (
            f"Too few seeds: the smallest p that the tests can give is "
            f"{min(1.0, reach * len(questions)):.2g}, so nothing is decided at {significance:g}."
        )
    yes = {q.text for q in questions if q.p_holm < significance}
    asked = {q.text for q in questions}
    names = {
        "Does the assignment help?": "the assignment that was learned is better than its "
        "permutations",
        "Does the search help?": "searching is better than roaming",
        "Does training while searching help?": "the searched networks are better than their "
        "assignment trained from the beginning",
        "Does wandering help?": "roaming is better than permutations of what was learned",
    }
    shown = [text for question, text in names.items() if question in yes]
    open_ = [text for question, text in names.items() if question in asked - yes]
    parts = []
    if shown:
        parts.append(f"Shown at {significance:g}: {'; '.join(shown)}.")
    if open_:
        parts.append(f"Not shown: {'; '.join(open_)}.")
    wanders = {"Does training while searching help?", "Does wandering help?"} & yes
    other = {"Does the assignment help?", "Does the search help?"}
    if wanders and other <= asked and not other & yes:
        parts.append("Only the wandering helps here, so far as these runs can tell.")
    return " ".join(parts)
