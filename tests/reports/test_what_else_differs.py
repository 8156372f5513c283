"""A report's page says in what strategies differ beside the sharing."""

import re
from pathlib import Path

from support.synthetic_runs import make_run

from mtl_framework.reports.analysis import analyse
from mtl_framework.reports.build import write_report
from mtl_framework.runs.records import make_groups


def test_the_page_names_settings_values_and_strategies(tmp_path: Path) -> None:
    records = [make_run(tmp_path / name, name, 0) for name in ("full", "none")]
    (group,) = make_groups(records)
    alike = write_report(tmp_path / "alike", "t", "s", [analyse(group)]).read_text()
    assert "What else differs" not in alike
    other = make_run(tmp_path / "other", "none", 0)
    config = other.directory / "config.yaml"
    config.write_text(config.read_text().replace("batch_size: 16", "batch_size: 32"))
    (group,) = make_groups([records[0], other])
    page = write_report(tmp_path / "report", "t", "s", [analyse(group)]).read_text()
    section = page.partition("<h3>What else differs</h3>")[2].partition("<h3>")[0]
    said = [line.strip() for line in re.sub(r"<[^>]*>", "\n", section).splitlines()]
    assert [line for line in said if line][:5] == ["batch_size", "16", "full", "32", "none"]
