"""A small part of what `make fuzz` tries, in every test run."""

from fuzz.failing_disk import fail_each
from fuzz.run_files import fuzz


def test_mutated_files_of_a_run_are_refused_by_a_line_or_read() -> None:
    outcomes, faults = fuzz(25, seed=1)
    assert faults == []
    assert sum(outcomes.values()) == 25
    assert any("refused" in outcome for outcome in outcomes)


def test_a_disk_that_fails_once_costs_a_line_and_nothing_saved() -> None:
    outcomes, faults = fail_each(every=11)
    assert faults == []
    assert outcomes["start: one line"] > 0
