"""The report: its page, its figures, what plugins add, and how it looks to a browser."""

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.synthetic_runs import make_run, make_runs

from mtl_framework import RunRecord, hookimpl
from mtl_framework.cli import main
from mtl_framework.comparisons.find import find
from mtl_framework.plotting import ReportFigure
from mtl_framework.plugins.contributions import Source
from mtl_framework.plugins.manager import Plugins
from mtl_framework.reports.analysis import Analysis, analyse
from mtl_framework.reports.assignments import (
    assignments_of,
    clustered_order,
    pair_frequencies,
    usage_shares,
)
from mtl_framework.reports.build import draw_figures
from mtl_framework.reports.command import make_report
from mtl_framework.reports.figure import new_figure, style, svg
from mtl_framework.reports.middle import middle_run
from mtl_framework.runs.records import make_groups, read_history
from mtl_framework.support.errors import MtlError

VOID = {"meta", "link", "img", "br", "hr"}
weights = st.integers(1, 5).flatmap(
    lambda tasks: st.lists(
        st.lists(
            st.lists(st.integers(0, 3), min_size=tasks, max_size=tasks), min_size=2, max_size=2
        ),
        min_size=1,
        max_size=3,
    )
)


class Page(HTMLParser):
    """Checks that elements nest, and gathers what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def analyses_of(records: Sequence[RunRecord]) -> list[Analysis]:
    return [analyse(group) for group in make_groups(records)]


def report(folder: Path, records: Sequence[RunRecord], plugins: Plugins | None = None) -> Page:
    path = make_report(folder, "A <report>", analyses_of(records), plugins or Plugins())
    return Page(path.read_text())


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Page]:
    """A report of three strategies with five seeds each, which nobody changes."""
    folder = tmp_path_factory.mktemp("usual")
    return folder, report(folder, make_runs(folder / "runs"))


def test_the_page_is_whole_and_needs_nothing_else(usual: tuple[Path, Page]) -> None:
    folder, page = usual
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:")
    text = (folder / "report.html").read_text()
    assert "url(" not in text
    assert "@import" not in text
    assert "<script" not in text
    assert "A &lt;report&gt;" in text
    assert page.all("html") == [{"lang": "en"}]
    assert {table["class"] for table in page.all("table")} == {"results", "tests", "tasks"}


def test_every_figure_has_words_and_two_files(usual: tuple[Path, Page]) -> None:
    folder, page = usual
    images = page.all("img")
    assert len(images) == 6
    assert all(len(image["alt"] or "") > 40 for image in images)
    names = {path.name for path in (folder / "figures").iterdir()}
    stems = ("error", "entropy", "gains", "sharing-found", "usage-found", "pairs-found")
    assert names == {f"alphabets-synthetic-{s}.{end}" for s in stems for end in ("svg", "png")}
    for path in (folder / "figures").glob("*.svg"):
        ElementTree.fromstring(path.read_text())
        assert not re.search(r'(href|src)="(?!#|data:)', path.read_text())
        assert "prefers-color-scheme:dark" in path.read_text()


@pytest.mark.long
@pytest.mark.long
def test_figures_of_labels_that_no_file_can_be_called_by_are_kept_apart(tmp_path: Path) -> None:
    labels = "分享", "共享", "a" * 300, "a" * 299 + "b"
    runs = [
        dataclasses.replace(make_run(tmp_path / f"{n}", "found", 0), strategy=label)
        for n, label in enumerate(labels)
    ]
    report(tmp_path, runs)
    names = {path.stem for path in (tmp_path / "figures").glob("*sharing*.png")}
    assert len(names) == 4
    assert names > {"alphabets-synthetic-sharing-x", "alphabets-synthetic-sharing-x-2"}
    assert max(map(len, names)) < 200


def test_bold_is_only_what_the_test_says(usual: tuple[Path, Page], tmp_path: Path) -> None:
    _, many = usual
    assert [row.get("class") for row in many.all("tr")].count("best") >= 1
    few = report(tmp_path / "b", make_runs(tmp_path / "few", seeds=3))
    assert not any(row.get("class") == "best" for row in few.all("tr"))


@pytest.mark.long
def test_fifty_tasks_and_one_task_can_be_drawn(tmp_path: Path) -> None:
    page = report(tmp_path / "a", make_runs(tmp_path / "many", tasks=50, seeds=2, units=8))
    assert len(page.all("img")) == 6
    alone = make_runs(tmp_path / "one", tasks=1, seeds=2)
    assert report(tmp_path / "b", alone).all("img")


def test_runs_without_whole_units_and_failed_ones_are_shown_too(tmp_path: Path) -> None:
    records = [make_run(tmp_path / "s", "soft", 0, sharing="soft")]
    records += make_runs(tmp_path / "runs", seeds=2)
    broken = dataclasses.replace(records[1], state="failed", result=None, error="ValueError: <b>")
    report(tmp_path, [records[0], broken, *records[2:]])
    text = (tmp_path / "report.html").read_text()
    assert "ValueError: &lt;b&gt;" in text
    assert "1/2, 1 failed" in text
    many = [dataclasses.replace(broken, directory=tmp_path / f"r{n}") for n in range(20)]
    report(tmp_path, [records[0], *many])
    text = (tmp_path / "report.html").read_text()
    assert text.count("<details>") == 1
    assert "20 runs failed: ValueError" in text
    assert str(tmp_path / "r19") in text


def test_nothing_finished_gives_a_page_without_figures(tmp_path: Path) -> None:
    record = RunRecord("a", "s", "b", 0, tmp_path / "none", 10, "waiting")
    assert report(tmp_path, [record]).all("img") == []


@given(weights)
def test_usage_shares_count_every_task_once(found: list[list[list[int]]]) -> None:
    array = np.array(found)
    shares = usage_shares(array)
    assert shares.shape == (2, array.shape[-1])
    assert np.allclose(shares.sum(1), 1)
    for unit in range(2):
        for users in range(1, array.shape[-1] + 1):
            counts = [row.count(w) == users for run in found for row in [run[unit]] for w in row]
            assert shares[unit, users - 1] == pytest.approx(np.mean(counts))


@given(weights)
def test_pair_frequencies_by_counting(found: list[list[list[int]]]) -> None:
    array = np.array(found)
    frequencies = pair_frequencies(array)
    for a in range(array.shape[-1]):
        for b in range(array.shape[-1]):
            same = [row[a] == row[b] for run in found for row in run]
            assert frequencies[a, b] == pytest.approx(np.mean(same))
    assert sorted(clustered_order(frequencies)) == list(range(array.shape[-1]))


def test_clusters_put_those_together_that_share() -> None:
    found = np.array([[[0, 1, 0, 1, 0, 1], [2, 3, 2, 3, 2, 3]]])
    order = clustered_order(pair_frequencies(found))
    assert {frozenset(order[:3]), frozenset(order[3:])} == {
        frozenset({0, 2, 4}),
        frozenset({1, 3, 5}),
    }


def test_the_middle_run_has_the_middle_error(tmp_path: Path) -> None:
    (group,) = make_groups(make_runs(tmp_path))
    found = assignments_of(group, "found")
    assert found is not None
    means = [r.result.test.error_mean for r in found.records if r.result]
    errors = [mean for mean in means if mean is not None]
    assert len(errors) == len(found.records)
    assert errors[middle_run(found.records)] == sorted(errors)[2]
    assert not found.trivial
    for name in ("full", "none"):
        trivial = assignments_of(group, name)
        assert trivial is not None
        assert trivial.trivial


def test_a_plugin_adds_figures_and_a_broken_one_is_named(tmp_path: Path) -> None:
    def figure_of(runs: Sequence[RunRecord]) -> ReportFigure:
        with style():
            figure = new_figure(3, 2)
            figure.subplots().plot([r.seed for r in runs])
        return ReportFigure("seeds", "Seeds", "A line of seeds.", "Seeds.", figure)

    class Drawing:
        @hookimpl
        def mtl_figures(self, runs: Sequence[RunRecord]) -> Iterable[ReportFigure]:
            return [figure_of(runs)]

    class Odd:
        @hookimpl
        def mtl_figures(self) -> list[Any]:
            return [3]

    class Silent:
        @hookimpl
        def mtl_figures(self) -> None:
            return None

    class Breaking:
        @hookimpl
        def mtl_figures(self, runs: Sequence[RunRecord]) -> Iterator[ReportFigure]:
            yield figure_of(runs)
            raise MtlError("there is no checkpoint")

    plugins = Plugins()
    plugins.register(Breaking(), "breaking")
    plugins._installed["breaking"] = Source("breaking", "somebody")  # as if it were installed
    for plugin in (Drawing(), Odd(), Silent()):
        plugins.register(plugin, type(plugin).__name__)
    page = report(tmp_path, make_runs(tmp_path / "runs", seeds=1), plugins)
    assert "A line of seeds." in [image["alt"] for image in page.all("img")]
    text = (tmp_path / "report.html").read_text()
    assert "breaking&#39; of somebody: mtl_figures raised MtlError" in text
    assert "plugin &#39;Odd&#39; of this program: mtl_figures should give ReportFigure" in text


def test_a_report_from_run_folders_tells_settings_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_runs(tmp_path / "runs", seeds=2)
    make_run(tmp_path / "runs" / "long", "full", 7, sharing="full", iterations=800)
    shutil.copytree(tmp_path / "runs" / "full-0", tmp_path / "runs" / "full-again")
    found = find([tmp_path / "runs"])
    (analysis,) = found.analyses
    assert set(analysis.group.strategies) == {
        "full (iterations=400)", "full (iterations=800)", "none", "found",
    }  # fmt: skip
    assert len(found.left_out) == 1
    assert "repeats" in found.left_out[0]
    with pytest.raises(SystemExit) as caught:
        main(["report", str(tmp_path / "runs"), "--output", str(tmp_path / "out")])
    assert not caught.value.code
    assert "report.html" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["."], "there is no run in ."),
        (["runs", "--baseline", "x"], "--baseline is 'x', should be one of found, full, none"),
    ],
)
def test_what_cannot_be_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    if "runs" in arguments:
        make_runs(tmp_path / "runs", seeds=1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["report", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_history_leaves_a_torn_line_out(tmp_path: Path) -> None:
    figures = {"error_mean": 3.0, "error_pooled": 3.0, "per_task": {}, "loss_per_task": {}}
    lines = [
        {"iteration": 2, "loss": 1.0, "metrics": {"entropy": 0.5}},
        {"iteration": 2, "evaluation": {"test": figures}},
    ]
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"iteration": 4, "lo')
    found = read_history(file)
    later: dict[str, Any] = {"metrics": {}, "ideals": {}, "averaged": True}  # not in old files
    assert found.evaluations == ((2, {"test": {**figures, **later}}),)
    assert found.metrics == {"entropy": ((2, 0.5),)}


def test_figures_are_the_same_for_the_same_runs(tmp_path: Path) -> None:
    (analysis,) = analyses_of(make_runs(tmp_path, seeds=2))
    first, second = ([svg(f.figure) for f in draw_figures(analysis)] for _ in range(2))
    assert first == second


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
@pytest.mark.parametrize("width", [390, 1800])
def test_a_browser_shows_table_and_figures_without_complaint(
    usual: tuple[Path, Page], tmp_path: Path, width: int
) -> None:
    # a script of the test's own looks at what the browser made of the page
    probe = """<script>window.addEventListener("load", () => {
      const images = [...document.images].filter(i => i.complete && i.naturalWidth > 0).length;
      const rows = document.querySelectorAll("table.results tbody tr").length;
      const wide = document.documentElement.scrollWidth > window.innerWidth;
      const boxes = [...document.querySelectorAll("figure .scroll")];
      const more = boxes.filter(b => b.querySelector("img").offsetWidth > b.clientWidth);
      const marked = boxes.filter(b => b.querySelector(".more").offsetWidth > 0);
      const same = more.every(b => marked.includes(b)) && more.length == marked.length;
      const some = more.length > 0;
      document.title = `images ${images} rows ${rows} wide ${wide} more ${some} marked ${same}`;
    })</script></body>"""
    page = tmp_path / "probed.html"
    page.write_text((usual[0] / "report.html").read_text().replace("</body>", probe))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},844"]  # fmt: skip
    logging = ["--enable-logging=stderr", "--v=0", "--dump-dom"]
    command = ["chromium", *flags, *logging, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    narrow = str(width == 390).lower()
    assert f"<title>images 6 rows 3 wide false more {narrow} marked true</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
