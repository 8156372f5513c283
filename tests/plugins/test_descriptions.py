"""Lines that describe a contribution are read from source."""

import sys
from pathlib import Path

import pytest

from mtl_framework.plugins.descriptions import first_line_of


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "described_package" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("raise RuntimeError('executed')\n")
    (inner / "__init__.py").write_text("raise RuntimeError('executed')\n")
    (inner / "code.py").write_text(
        "import nothing_of_that_name\n\n\n"
        "class Method:\n    '''Share what helps.\n\n    More of it.\n    '''\n\n\n"
        "def suite():\n    '''Tell apart.'''\n\n\n"
        "def silent():\n    pass\n\n\n"
        "other = Method\n"
    )
    (inner / "broken.py").write_text("class Method(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_first_lines_are_read_without_executing_any_package() -> None:
    assert first_line_of("described_package.inner.code:Method") == "Share what helps."
    assert first_line_of("described_package.inner.code:suite") == "Tell apart."
    assert not [name for name in sys.modules if name.startswith("described_package")]


@pytest.mark.parametrize(
    "reference",
    [
        "described_package.inner.code:silent",
        "described_package.inner.code:other",
        "described_package.inner.code:absent",
        "described_package.inner.broken:Method",
        "described_package.inner.absent:Method",
        "described_package.inner.code.deeper:Method",
        "absent_package.code:Method",
        "sys:exit",
    ],
)
def test_what_is_not_found_has_no_line(reference: str) -> None:
    assert first_line_of(reference) is None
