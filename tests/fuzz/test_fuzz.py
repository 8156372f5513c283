"""A small part of what `make fuzz` tries, in every test run."""

import pytest

from fuzz.configs import Configs
from fuzz.data_files import DataFiles
from fuzz.disk_uses import USES
from fuzz.failing_disk import fail_each
from fuzz.harness import Part, attempt_all
from fuzz.misbehaving import Misbehaving
from fuzz.run_files import RunFiles


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "count"), [(Configs, 150), (RunFiles, 25), (DataFiles, 40), (Misbehaving, 25)]
)
def test_bad_input_is_refused_by_a_line_or_read(part: type[Part], count: int) -> None:
    outcomes, faults = attempt_all(part, count, seed=1)
    assert faults == []
    assert sum(outcomes.values()) == count
    assert any("refused" in outcome or outcome == "status 2" for outcome in outcomes)


@pytest.mark.parametrize(
    ("use", "every"),
    [
        ("start", 29),
        ("resume", 37),
        ("export", 17),
        *(
            pytest.param(use, every, marks=pytest.mark.slow)
            for use, every in [
                ("load", 11), ("report", 60), ("go on comparing", 120), ("export all", 23),
            ]
        ),
    ],
)  # fmt: skip
def test_a_disk_that_fails_once_costs_a_line_and_nothing_saved(use: str, every: int) -> None:
    outcomes, faults = fail_each(USES[use], every, first=5)
    assert faults == []
    assert outcomes["one line"] > 0
