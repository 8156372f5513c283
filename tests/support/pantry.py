"""Plugins whose names configs choose, and how a config is resolved over them."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field

from mtl_framework.data.tasks import Suite
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs import resolve as resolving
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.resolve import Layer
from mtl_framework.runs.settings import parse_setting
from mtl_framework.strategies.strategy import Strategy, StrategyConfig


class SoupConfig(StrategyConfig):
    weights: int = Field(default=3, ge=1)
    rate: float = 0.5
    mode: Literal["slow", "fast"] = "slow"
    groups: tuple[tuple[str, ...], ...] = ()
    limit: int | None = None


class Soup(Strategy):
    Config: ClassVar[type[StrategyConfig]] = SoupConfig
    presets: ClassVar[dict[str, Any]] = {
        "paper": {
            "strategy": {"name": "soup", "weights": 20, "rate": 0.1},
            "backbone": {"name": "resnet34", "small_images": True, "args": {"drop_rate": 0.5}},
            "iterations": 4000,
        },
        "stray": {"strategy": {"name": "plain"}},
    }

    def build(self, backbone: Any, suite: Any) -> Any:
        raise NotImplementedError

    def optimize(self, run: Any) -> Any:
        raise NotImplementedError


class Plain(Soup):
    Config: ClassVar[type[StrategyConfig]] = StrategyConfig
    presets: ClassVar[dict[str, Any]] = {}


def pairs(*, count: int = 4, names: tuple[str, ...] = ("a", "b"), share: float = 0.5) -> Suite:
    raise AssertionError("a suite's options are checked without making it")


class Pantry:
    @hookimpl
    def mtl_strategies(self) -> dict[str, type[Strategy]]:
        return {"soup": Soup, "plain": Plain}

    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"pairs": pairs, "anything": lambda **options: pairs()}


def resolve(*arguments: Any) -> RunConfig:
    return resolving.resolve(*arguments).config


def layer(**values: Any) -> Layer:
    return Layer({"strategy": "soup", "suite": "pairs", **values})


def settings(*texts: str) -> list[Any]:
    return [parse_setting(text) for text in texts]
