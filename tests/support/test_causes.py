"""Faults in few lines, by cause."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mtl_framework import group_by_cause


def test_faults_of_one_cause_share_a_line_and_the_most_frequent_comes_first() -> None:
    rare = [("odd.png", "is empty")]
    often = [(f"{n}.png", f"has shape (3, {n}, 7), should be (3, 8, 8)") for n in range(12)]
    named = [(f"run{n}", f"cannot write /data/run{n}/a.json: no space") for n in range(5)]
    quoted = [(f"t{n}", f"task 'task{n}' has no label") for n in range(4)]
    assert group_by_cause([*rare, *quoted, *named, *reversed(often)]) == [
        "12 times: has shape (3, 0, 7), should be (3, 8, 8): 0.png, 1.png, 2.png and 9 more",
        "5 times: cannot write /data/run0/a.json: no space: run0, run1, run2 and 2 more",
        "odd.png: is empty",
        *(f"t{n}: task 'task{n}' has no label" for n in range(4)),
    ]
    assert group_by_cause(quoted, most_single=3) == [
        "4 times: task 'task0' has no label: t0, t1, t2 and 1 more"
    ]


@given(st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["is empty", "9 of 'x'", "/a"]))))
def test_no_fault_is_lost(faults: list[tuple[str, str]]) -> None:
    lines = group_by_cause(faults)
    counted = sum(int(line.split(" times: ")[0]) if " times: " in line else 1 for line in lines)
    assert counted == len(faults)
    assert len(lines) <= 12
    singles = Counter(line for line in lines if " times: " not in line)
    assert singles <= Counter(f"{place}: {what}" for place, what in faults)
