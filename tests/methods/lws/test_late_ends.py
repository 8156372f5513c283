"""A search that ends where the learning rate has fallen is told so, with an earlier end."""

import math
from pathlib import Path
from typing import Any

import pytest
from mtl_lws.beyond.hardening import too_late
from mtl_lws.strategy import LearnedWeightSharing
from support.tiny import TinyPlugins, start


def test_a_search_that_ends_where_hardly_any_rate_is_left_is_told_an_earlier_end() -> None:
    def cosine(share: float) -> float:
        return 1 - share - math.sin(math.pi * share) / math.pi

    told = too_late(0.2, 0.75, cosine)
    assert told is not None
    assert told.startswith("2.5 % of the learning rate is left when the search ends, at 75 % of")
    assert told.endswith("freeze_after=0.4 (and fold_back=0.6) leaves 30 %")
    assert too_late(0.2, 0.75, lambda share: 1 - share) is None  # a constant rate
    assert too_late(0.2, 1.0, cosine) is None  # it never ends
    assert too_late(0.2, 0.3, cosine) is None  # early enough
    told = too_late(0.6, 0.75, cosine)  # no end behind the shared start leaves enough
    assert told == "2.5 % of the learning rate is left when the search ends"


@pytest.mark.parametrize(("schedule", "told"), [("constant", 0), ("cosine", 1)])
def test_runs_say_so_once(tmp_path: Path, schedule: str, told: int) -> None:
    strategy: dict[str, Any] = {"name": "lws", "nes_samples": 2}
    plugins, said = TinyPlugins(lws=LearnedWeightSharing), list[str]()
    training = {"schedule": schedule}
    run = start(tmp_path, plugins, strategy=strategy, training=training, iterations=8)
    run.hint = said.append  # type: ignore[method-assign, assignment]
    run.execute()
    assert len([text for text in said if "of the learning rate is left" in text]) == told
