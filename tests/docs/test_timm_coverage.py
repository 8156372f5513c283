"""Every model module of timm works as a backbone, and the table in docs/ says how."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
from support.programs import load_program

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


table = load_program(ROOT / "tools" / "timm_coverage.py")
ROWS: dict[str, Any] = {
    row["module"]: row for row in json.loads((DOCS / "backbones.json").read_text())["modules"]
}
FAST = (
    "byobnet", "convnext", "dla", "edgenext", "ghostnet", "levit", "mlp_mixer", "mobilenetv3",
    "pit", "resnet", "vision_transformer", "xcit",
)  # fmt: skip
LONG = (
    "cpubone", "cspnet", "deit", "efficientnet", "efficientvim", "efficientvit_mit",
    "efficientvit_msra", "hrnet", "lcnetv2", "mambaout", "maxxvit", "metaformer", "mobilevit",
    "nfnet", "pvt_v2", "regnet", "starnet", "vision_transformer_relpos",
)  # fmt: skip


def check(module: str) -> None:
    row = table.measure(module)
    assert "reason" not in row, row
    # single precision, through up to a hundred layers
    assert row["extraction_error"] < 1e-5
    written = dict(ROWS[module])
    for found in (row, written):
        del found["extraction_error"]
    assert row == written, "run tools/timm_coverage.py"


@pytest.mark.parametrize(
    "module", [*FAST, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]
)
def test_modules_agree_with_the_table(module: str) -> None:
    check(module)


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(set(table.CASES) - {*FAST, *LONG}))
def test_other_modules_agree_with_the_table(module: str) -> None:
    check(module)


def test_the_table_holds_every_module() -> None:
    if timm.__version__ != json.loads((DOCS / "backbones.json").read_text())["timm"]:
        pytest.skip("the table is of another version of timm")
    assert sorted(ROWS) == sorted(table.CASES) == sorted(timm.list_modules())


def test_the_page_is_the_table() -> None:
    found = json.loads((DOCS / "backbones.json").read_text())
    assert (DOCS / "backbones.md").read_text() == table.markdown(found)
