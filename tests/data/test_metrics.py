"""Metrics over whole sets of rows: by hand and against scikit-learn, in any batches."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn import metrics as sk
from torch import Tensor

from mtl_framework.data import (
    Binary,
    Classification,
    GaussianRegression,
    LanguageModel,
    MultiLabel,
    Objective,
    Ordinal,
    PoissonRegression,
    Regression,
)
from mtl_framework.data.metrics.metric import Meter
from mtl_framework.data.metrics.shown import shown_value

Row = dict[str, float | None]


def values(objective: Objective, outputs: Tensor, targets: Tensor, batch: int = 7) -> Row:
    """All metrics of an objective, with rows that come in batches."""
    meter = Meter(objective.metrics())
    for start in range(0, len(outputs), batch):
        rows = slice(start, start + batch)
        meter.update(*objective.judged(outputs[rows], targets[rows]))
    return meter.values(meter.computed())


def test_a_metric_of_rows_is_no_mean_of_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(40, 4, generator=generator)
    targets = torch.randint(0, 4, (40,), generator=generator)
    for objective, y in ((Classification(4), targets), (Ordinal(5), targets)):
        whole, parts = (values(objective, outputs, y, batch) for batch in (40, 3))
        assert whole.keys() == parts.keys()
        assert [whole[k] for k in whole] == pytest.approx([parts[k] for k in whole], nan_ok=True)


@pytest.mark.parametrize(
    ("value", "label", "text"),
    [
        (12.3456, "error %", "12.35"),
        (0.0123, "error %", "0.01"),
        (11.25, "mean angle °", "11.25"),
        (0.98712, "R²", "0.9871"),
        (-0.5, "Spearman ρ", "-0.5000"),
        (0.00012344, "RMSE", "0.0001234"),
        (114493.204, "MAE", "114493.20"),
        (12.3456, "perplexity", "12.35"),
        (0.0, "MAE", "0.00"),
        (None, "R²", "–"),
    ],
)
def test_figures_have_the_decimals_of_their_unit(
    value: float | None, label: str, text: str
) -> None:
    assert shown_value(value, label) == text


def test_classes_by_hand() -> None:
    # class 0: 2 of 3 right, class 1: 1 of 1, class 2: 0 of 1 (taken for 0); class 3 never occurs
    best, targets = torch.tensor([0, 0, 1, 1, 0]), torch.tensor([0, 0, 0, 1, 2])
    found = values(Classification(4), 10 * torch.eye(4)[best], targets, 2)
    assert found["error %"] == pytest.approx(40)
    assert found["accuracy %"] == pytest.approx(60)
    assert found["balanced accuracy %"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    # F1: 0: 2*2/(3+3), 1: 2*1/(1+2), 2: 0; class 3 is neither there nor predicted
    assert found["macro F1 %"] == pytest.approx(100 * (2 / 3 + 2 / 3 + 0) / 3)
    confidence = math.exp(10) / (math.exp(10) + 3)
    assert found["calibration error %"] == pytest.approx(100 * (confidence - 0.6), abs=1e-4)


def test_classes_against_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(300, 7)).astype(np.float32)
    y = generator.integers(0, 7, 300)
    logits[np.arange(300), y] += 1
    found = values(Classification(7), torch.from_numpy(logits), torch.from_numpy(y))
    p = torch.from_numpy(logits).double().softmax(1).numpy()
    guess = p.argmax(1)
    wanted = {
        "accuracy %": sk.accuracy_score(y, guess),
        "balanced accuracy %": sk.balanced_accuracy_score(y, guess),
        "macro F1 %": sk.f1_score(y, guess, average="macro"),
        "macro AUROC %": sk.roc_auc_score(y, p, multi_class="ovr"),
        "macro AP %": sk.average_precision_score(np.eye(7)[y], p, average="macro"),
        "top-5 accuracy %": sk.top_k_accuracy_score(y, p, k=5),
    }
    for label, value in wanted.items():
        assert found[label] == pytest.approx(100 * value, abs=1e-3), label


def test_classes_that_do_not_occur_count_nowhere() -> None:
    """The area under a curve of a class that no row has is not 0 but not defined."""
    generator = np.random.default_rng(2)
    logits, y = generator.normal(size=(50, 5)), generator.integers(0, 3, 50)
    found = values(Classification(5), torch.from_numpy(logits), torch.from_numpy(y))
    p = torch.from_numpy(logits).softmax(1).numpy()
    each = [sk.roc_auc_score(y == c, p[:, c]) for c in range(3)]
    assert found["macro AUROC %"] == pytest.approx(100 * np.mean(each), abs=1e-3)
    alone = values(Classification(3), torch.randn(4, 3), torch.zeros(4).long())
    assert alone["macro AUROC %"] is None
    assert alone["error %"] is not None


def test_binary_against_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    logits, y = generator.normal(size=(90, 1)), generator.integers(0, 2, 90)
    found = values(Binary(), torch.from_numpy(logits), torch.from_numpy(y))
    p = 1 / (1 + np.exp(-logits[:, 0]))
    wanted = {
        "accuracy %": sk.accuracy_score(y, p > 0.5),
        "balanced accuracy %": sk.balanced_accuracy_score(y, p > 0.5),
        "F1 %": sk.f1_score(y, p > 0.5),
        "AUROC %": sk.roc_auc_score(y, p),
        "AP %": sk.average_precision_score(y, p),
    }
    for label, value in wanted.items():
        assert found[label] == pytest.approx(100 * value, abs=1e-3), label
    one = values(Binary(), torch.randn(4, 1), torch.ones(4))
    assert one["AUROC %"] is None


def test_several_labels_by_hand_and_unknown_ones_count_nowhere() -> None:
    targets = torch.tensor([[1, 0, -1], [0, 1, -1], [1, -1, 1], [-1, -1, -1]])
    outputs = torch.tensor([[1.0, 1, 9], [-1, 1, 9], [-1, 9, 1], [9, 9, 9]])
    found = values(MultiLabel(3), outputs, targets, 2)
    assert found["label error %"] == pytest.approx(100 * 2 / 6)  # row 0 label 1, row 2 label 0
    assert found["label accuracy %"] == pytest.approx(100 * 4 / 6)
    assert found["exact match %"] == pytest.approx(100 * 1 / 3)  # row 1; row 3 has none known
    assert found["macro F1 %"] == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 3)
    known = [(outputs[:3, 0], [1, 0, 1]), (outputs[:2, 1], [0, 1])]
    areas = [sk.roc_auc_score(y, x.numpy()) for x, y in known]  # label 2 is always there
    assert found["macro AUROC %"] == pytest.approx(100 * np.mean(areas))


def test_numbers_against_scikit_learn_in_their_own_units() -> None:
    generator = np.random.default_rng(4)
    y = generator.normal(50, 10, (60, 2))
    objective = Regression.standardized(torch.from_numpy(y))
    outputs = torch.from_numpy(generator.normal(size=(60, 2)) + (y - y.mean(0)) / y.std(0))
    found = values(objective, outputs, torch.from_numpy(y))
    guess = outputs.numpy() * y.std(0) + y.mean(0)
    assert found["RMSE"] == pytest.approx(math.sqrt(sk.mean_squared_error(y, guess)), rel=1e-5)
    assert found["MAE"] == pytest.approx(sk.mean_absolute_error(y, guess), rel=1e-5)
    assert found["R²"] == pytest.approx(sk.r2_score(y, guess), rel=1e-4)
    rho = [scipy.stats.spearmanr(y[:, n], guess[:, n]).statistic for n in range(2)]
    assert found["Spearman ρ"] == pytest.approx(np.mean(rho), rel=1e-4)
    constant = values(Regression(), torch.randn(3, 1), torch.ones(3))
    assert constant["R²"] is None
    assert constant["Spearman ρ"] is None


def test_counts_and_normal_laws_are_judged_by_their_means() -> None:
    y = torch.tensor([1.0, 2, 4])
    counts = values(PoissonRegression(), y.log()[:, None], y)
    assert counts["RMSE"] == pytest.approx(0, abs=1e-5)
    law = GaussianRegression(1, (2.0,), (3.0,))
    outputs = torch.stack([(y - 2) / 3, torch.full((3,), 5.0)], 1)
    assert values(law, outputs, y)["MAE"] == pytest.approx(0, abs=1e-5)


def test_levels_against_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    y, logits = generator.integers(0, 4, 80), generator.normal(size=(80, 3))
    guess = (logits > 0).sum(1)
    found = values(Ordinal(4), torch.from_numpy(logits), torch.from_numpy(y))
    assert found["MAE levels"] == pytest.approx(np.abs(y - guess).mean())
    assert found["accuracy %"] == pytest.approx(100 * (y == guess).mean())
    kappa = sk.cohen_kappa_score(y, guess, weights="quadratic")
    assert found["quadratic κ"] == pytest.approx(kappa, abs=1e-5)


def test_words_by_hand() -> None:
    outputs = torch.log(torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]]))
    targets = torch.tensor([[0, 1], [1, 0]])
    found = values(LanguageModel(2), outputs, targets, 1)
    nats = [math.log(2), -math.log(0.75), math.log(2), math.log(2)]
    assert found["perplexity"] == pytest.approx(math.exp(sum(nats) / 4), rel=1e-4)
    assert found["accuracy %"] == pytest.approx(75)


@pytest.mark.parametrize(
    "objective",
    [Classification(4), Binary(), Regression(2), PoissonRegression(), GaussianRegression(2),
     Ordinal(4), LanguageModel(5), MultiLabel(3)],
    ids=lambda objective: objective.kind,
)  # fmt: skip
def test_the_first_metric_is_the_objectives_own(objective: Objective) -> None:
    generator = torch.Generator().manual_seed(3)
    shape: Sequence[int] = (12, 6, 5) if objective.kind == "language_model" else (12,)
    outputs = torch.randn((*shape[:2], objective.num_outputs), generator=generator)
    numbers = getattr(objective, "num_targets", getattr(objective, "num_labels", None))
    many = {"classification": 4, "ordinal": 4, "language_model": 5}.get(objective.kind, 2)
    size = shape[:2] if numbers is None else (12, numbers)
    targets = torch.randint(0, many, size, generator=generator)
    if objective.kind in ("regression", "poisson", "gaussian"):
        targets = targets.float()
    first = objective.metrics()[0]
    assert first.label == objective.metric
    assert not first.higher_is_better
    own = objective.summarize(float(objective.scores(outputs, targets).double().mean()))
    assert values(objective, outputs, targets)[first.label] == pytest.approx(own, rel=1e-5)


def test_details_say_who_is_taken_for_whom_and_how_reliable_that_is() -> None:
    best, targets = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2])
    objective = Classification(3, ("a", "b", "c"))
    meter = Meter((), objective.details())
    meter.update(*objective.judged(2.0 * torch.eye(3)[best], targets))
    detail = objective.detail(meter.computed())
    assert detail["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert detail["accuracy"] == [100, 50, 100]
    confidence = math.exp(2) / (math.exp(2) + 2)  # 0.787: bin 11 of 15
    bins = detail["reliability"]
    assert bins["rows"] == [4 if n == 11 else 0 for n in range(15)]
    assert bins["confidence"][11] == pytest.approx(confidence)
    assert bins["right"][11] == 0.75
    assert bins["right"][0] is None
