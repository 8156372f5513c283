"""What strategies of a comparison differ in, beside the sharing, is named with who has what."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from support.synthetic_runs import make_run

from mtl_framework.networks.used_optimizer import UsedOptimizer
from mtl_framework.reports.analysis import analyse
from mtl_framework.runs.records import RunRecord, make_groups
from mtl_framework.runs.unlike import Unlike, unlike_settings

ADAM = UsedOptimizer("adam", 1e-3, 0.0, {"eps": 1e-7})


def run(
    folder: Path, label: str, optimizer: UsedOptimizer | None = ADAM, seed: int = 0, **changes: Any
) -> RunRecord:
    """A finished run whose config has some sections changed, each as a mapping of its keys."""
    record = make_run(folder / f"{label}{seed}", label, seed)
    assert record.result is not None
    file = record.directory / "config.yaml"
    config = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        whole = isinstance(values, dict) and isinstance(config[section], dict)
        config[section] = {**config[section], **values} if whole else values
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return replace(record, result=replace(record.result, optimizer=optimizer))


def found(*records: RunRecord) -> dict[str, dict[str, tuple[str, ...]]]:
    return {setting.key: dict(setting.values) for setting in unlike_settings(records)}


def test_strategies_with_one_recipe_differ_in_nothing(tmp_path: Path) -> None:
    own = run(tmp_path, "found", strategy={"alpha": 1.0})  # its own option is what is compared
    records = [run(tmp_path, "full"), run(tmp_path, "none"), own]
    assert found(*records) == {}
    (group,) = make_groups(records)
    analysis = analyse(group)
    assert analysis.unlike == ()
    assert not [note for note in analysis.notes if "differ in more" in note]


def test_recipes_norms_and_batches_are_named_with_who_has_them(tmp_path: Path) -> None:
    records = [
        run(tmp_path, "full", batch_size=32),
        run(tmp_path, "none", training={"clip": 1.0, "average": {"name": "ema", "start": 0}}),
        run(tmp_path, "found", backbone={"normalization": "shared"}),
    ]
    assert found(*records) == {
        "backbone.normalization": {"auto": ("full", "none"), "shared": ("found",)},
        "training.clip": {"none": ("full", "found"), "1.0": ("none",)},
        "training.average": {"none": ("full", "found"), "{name: ema, start: 0}": ("none",)},
        "batch_size": {"32": ("full",), "16": ("none", "found")},
    }
    (group,) = make_groups(records)
    analysis = analyse(group)
    values = {"auto": ("full", "none"), "shared": ("found",)}
    assert analysis.unlike[0] == Unlike("backbone.normalization", values)
    (note,) = [note for note in analysis.notes if "differ in more" in note]
    assert note.endswith(": backbone.normalization, training.clip, training.average, batch_size.")


def test_the_optimiser_is_the_one_that_a_run_really_had(tmp_path: Path) -> None:
    """What a config leaves to the strategy, or the strategy overrides, says little."""
    sgd = UsedOptimizer("sgd", 0.1, 5e-4)
    plain = run(tmp_path, "full", training={"learning_rate": 1e-3})
    assert found(plain, run(tmp_path, "none")) == {}
    assert found(plain, run(tmp_path, "found", sgd)) == {
        "optimizer": {"{name: adam, eps: 1e-07}": ("full",), "sgd": ("found",)},
        "learning rate": {"0.001": ("full",), "0.1": ("found",)},
        "weight decay": {"0.0": ("full",), "0.0005": ("found",)},
    }
    assert found(plain, run(tmp_path, "own", None)) == {}  # it has not said which


def test_options_from_the_framework_are_compared_between_those_that_have_them(
    tmp_path: Path,
) -> None:
    moments = {"shared_start_moments": "copy"}
    none = run(tmp_path, "none", strategy={"shared_start": 0.0, **moments})
    begun = run(tmp_path, "begun", strategy={"shared_start": 0.2, "shared_start_moments": "new"})
    other = run(tmp_path, "other", strategy={"initialization": "library"})
    assert found(none, begun, other) == {
        "strategy.shared_start": {"0.0": ("none",), "0.2": ("begun",)}
    }  # where nothing parts, it does not matter what is taken along
    copied = run(tmp_path, "copied", strategy={"shared_start": 0.2, **moments})
    assert found(begun, copied) == {
        "strategy.shared_start_moments": {"new": ("begun",), "copy": ("copied",)}
    }


def test_how_a_run_was_made_and_watched_is_no_difference(tmp_path: Path) -> None:
    watched = run(tmp_path, "none", eval_every=7, log_every=3, device="cuda", keep="none", seed=0)
    assert found(run(tmp_path, "full"), watched) == {}


def test_runs_without_config_or_result_are_passed_over(tmp_path: Path) -> None:
    records = [run(tmp_path, "full"), run(tmp_path, "none", batch_size=4)]
    (records[1].directory / "config.yaml").unlink()
    assert found(*records) == {}
    later = run(tmp_path, "none", seed=1, batch_size=4)
    assert set(found(*records, later)) == {"batch_size"}
    assert found(records[0], replace(later, result=None)) == {}


def test_long_values_that_begin_alike_differ(tmp_path: Path) -> None:
    long = [f"block{n}" for n in range(60)]
    one = run(tmp_path, "one", backbone={"shared": [*long, "last"]})
    other = run(tmp_path, "other", backbone={"shared": [*long, "end"]})
    assert set(found(one, other)) == {"backbone.shared"}
