"""Names on axes: short enough, and different where the names are."""

from hypothesis import given
from hypothesis import strategies as st

from mtl_framework.reports.figure import shortened

names = st.lists(
    st.tuples(st.sampled_from(["stages.", "s", "a long beginning "]), st.integers(0, 12),
              st.sampled_from(["", ".blocks.0", ".blocks.1", " and a long end"])).map(
                  lambda parts: "".join(map(str, parts))),
    max_size=12,
)  # fmt: skip


def test_the_end_goes_unless_it_tells_names_apart() -> None:
    assert shortened(["a short one", "quite a long name, and more"], 10) == [
        "a short o…", "quite a l…"
    ]  # fmt: skip
    units = ["stem", "stages.2.blocks.0", "stages.2.blocks.1"]
    assert shortened(units, 14) == ["stem", "stages.…ocks.0", "stages.…ocks.1"]


def test_names_that_differ_in_the_middle_keep_more_of_their_ends() -> None:
    units = [f"stages.{stage}.blocks.{block}" for stage in range(3) for block in range(2)]
    assert shortened(units, 14) == [f"sta…{unit[-10:]}" for unit in units]  # sta…0.blocks.1


def test_what_no_end_tells_apart_is_numbered() -> None:
    long = ["x" * 20 + letter + "y" * 20 for letter in "ab"]
    assert shortened([*long, long[0], "short"], 8) == ["xxxxx… 1", "xxxxx… 2", "xxxxx… 1", "short"]


@given(names, st.integers(8, 20))
def test_different_names_stay_different_and_fit(given_names: list[str], most: int) -> None:
    cut = shortened(given_names, most)
    assert all(len(name) <= most for name in cut)
    assert len(set(cut)) == len(set(given_names))
    for name, short in zip(given_names, cut, strict=True):
        assert short == name or len(name) > most
