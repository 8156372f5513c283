"""What docs/architecture.md says of the house, beside what import-linter's contracts keep."""

import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]


def test_modules_import_each_other_in_no_circle() -> None:
    """Also for types only; what imports whom is sorted, which names the circle where there is one.

    Contracts compare rooms and plugins, and see nothing of two files within one of them.
    """
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = config["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, cache_dir=None)
    assert graph.modules >= {"mtl_framework.runs.run", "mtl_lws.strategy"}
    imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    TopologicalSorter(imported).prepare()
