"""Public names: the lists are exact, and plugins, examples and documentation need no others."""

import ast
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "mtl_framework": """
        AdaptedLayer Backbone ColumnMixer ColumnNetwork Comparison Evaluation Features
        FinishedRun FusedAdam GivenAssignment GradientWeighting InitialWeights LoadedRun
        MixtureNetworks ModuleBackbone
        MtlError MultiTaskModel ParameterCounts
        PlainBackbone Preview ProblemsError RecipeOptimizer Recurrent Result RowLossNetworks
        Run RunConfig RunRecord ScalarObserver SearchDistribution SeparateNetworks SharedStart
        SharedStartConfig Sharing
        Step Strategy StrategyConfig TaskNetworks TrainedRun
        TrainingConfig TrainingRun UnknownNameError __version__ all_reduce_mean compare
        copy_weight csv_cell dry_run forget_moments fresh_state group_by_cause
        hookimpl load_backbone load_run load_suite message_of renumber
        reset_state resting run stateless task_gradients unit_sensitivities
    """,
    "mtl_framework.data": """
        AuxiliaryHead BalancedBatches Batch Binary BinaryMap Classification Depth Examples Gathered
        GaussianRegression HeadChoice ImageNormalization ImageTransform LanguageModel LazyInputs
        MISSING_MARKERS MapObjective MapRegression Metric MultiLabel Normals Objective
        Ordinal PictureOptions PoissonRegression Regression SPLITS SPLIT_NAMES Segmentation
        SplitSizes Suite Task Transforms
        batches_per_epoch byte_levels check_picture_size class_codes colour_lines flat_hints
        guess_kind image_hints is_images is_litter known_split make_splits picture_suffixes
        pictures_below read_image resize_map
        split_name to_features to_images unconverted_colours
    """,
    "mtl_framework.plotting": """
        INK MARKERS MUTED PALETTE PAPER ReportFigure SEQUENTIAL bare colour_of middle_runs
        new_figure png shortened style svg tick_rotation
    """,
    "mtl_framework.testing": """
        CHECKS CheckError Oracle Outcome SmallNet Trial check_contract check_devices
        check_extraction check_missing_labels check_resuming check_same_seed check_state run_files
        small_suite
    """,
    "mtl_framework.export": """
        TaskBundle export_all export_joint export_joint_onnx export_network export_onnx
        export_program load_bundle load_network
    """,
}
PLUGINS = {path.name for path in ROOT.glob("plugins/*/mtl_*")} | {"mtl_backbones"}
FILES = [
    file
    for folder in ("plugins", "backbones", "examples")
    for file in sorted((ROOT / folder).rglob("*.py"))
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def faults(tree: ast.AST) -> Iterator[str]:
    """What is imported of the host, or used of it by a dotted name, but is not public."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mtl_framework"):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in PUBLIC:
                    continue
                if node.module not in PUBLIC or alias.name not in PUBLIC[node.module].split():
                    yield f"line {node.lineno}: {node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("mtl_framework") and alias.name not in PUBLIC:
                    yield f"line {node.lineno}: {alias.name}"
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in PUBLIC:
            names = PUBLIC[ast.unparse(node.value)].split()
            if node.attr not in names and ast.unparse(node) not in PUBLIC:
                yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_plugins_and_examples_use_public_names_only(file: Path) -> None:
    assert list(faults(ast.parse(file.read_text()))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_of_the_documentation_use_public_names_only(page: Path) -> None:
    text = page.read_text()
    for program in re.findall(r"^```python.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        tree = ast.parse(program)
        assert list(faults(tree)) == []
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree)
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        }
        assert not imported & PLUGINS, "of plugins, only what hooks give is public"


def test_what_is_not_public_is_seen() -> None:
    program = """
import mtl_framework.data
import mtl_framework.runs.run
from mtl_framework import Strategy, TinyStrategy, plotting
from mtl_framework.runs import run
mtl_framework.data.Suite, mtl_framework.data.Order, mtl_framework.cli.main
"""
    assert {fault.split(": ")[1] for fault in faults(ast.parse(program))} == {
        "mtl_framework.runs.run",
        "mtl_framework.TinyStrategy",
        "mtl_framework.cli",
        "mtl_framework.data.Order",
    }


def test_suites_are_among_the_files() -> None:
    assert any("mtl_suites" in file.parts for file in FILES)


@pytest.mark.parametrize("module", PUBLIC)
def test_the_lists_are_exact(module: str) -> None:
    public = import_module(module)
    assert list(public.__all__) == sorted(PUBLIC[module].split())
    for name in public.__all__:
        assert getattr(public, name) is not None
        assert name in dir(public)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        public.Nonsense  # noqa: B018


@pytest.mark.parametrize("module", PUBLIC)
def test_type_checkers_see_what_is_imported_late(module: str) -> None:
    public = import_module(module)
    text = Path(public.__file__ or "").read_text()
    if module != "mtl_framework.export":
        assert sorted(set(re.findall(r"^    from .* as (\w+)$", text, re.M))) == sorted(
            public.__all__
        )


@pytest.mark.parametrize("module", PUBLIC)
def test_importing_a_public_module_imports_neither_torch_nor_matplotlib(module: str) -> None:
    if module == "mtl_framework.export":
        pytest.skip("networks in files need torch")
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'matplotlib'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_have_moved_still_work_and_say_where_they_are() -> None:
    import mtl_framework

    first = """
        Backbone Batch Binary Classification ColumnNetwork Evaluation Examples FinishedRun
        FusedAdam GivenAssignment INK ImageNormalization ImageTransform LanguageModel LazyInputs
        LoadedRun MARKERS MUTED MtlError MultiTaskModel Objective PAPER ParameterCounts
        PlainBackbone Recurrent Regression ReportFigure Result Run RunConfig RunRecord SEQUENTIAL
        SeparateNetworks Sharing Step Strategy StrategyConfig Suite Task TaskNetworks Transforms
        UnknownNameError all_reduce_mean colour_of fresh_state hookimpl load_run new_figure renumber
        reset_state stateless shortened style
    """  # what version 0.1.0 exported
    for name in first.split():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert getattr(mtl_framework, name) is not None
        if name not in mtl_framework.__all__:
            (warning,) = caught
            assert re.fullmatch(
                rf"mtl_framework\.{name} is now mtl_framework\.(data|plotting)\.{name}",
                str(warning.message),
            )
