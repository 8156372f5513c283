"""A shell completes names of strategies, suites and backbones, and keys of a config.

Completion runs at every press of a key, so torch is imported only for the options of a strategy or
suite that the line names. A plugin that is broken is no reason to offer nothing.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from ..backbones.timm_names import timm_models

if TYPE_CHECKING:
    from ..plugins.checks import Kind
    from ..plugins.manager import Plugins

_Offers = list[tuple[str, str]]


def strategies(incomplete: str) -> _Offers:
    """Offer the names of strategies, with what each does."""
    return _named("strategy", incomplete)


def suites(incomplete: str) -> _Offers:
    """Offer the names of suites, with what each holds."""
    return _named("suite", incomplete)


def backbones(incomplete: str) -> _Offers:
    """Offer the names of plugins' backbones, and of timm's models."""
    return [
        *_named("backbone", incomplete),
        *((name, "timm") for name in timm_models() if name.startswith(incomplete)),
    ]


def keys(ctx: Any, incomplete: str) -> _Offers:
    """Offer keys of a run's config, with an equals sign behind each.

    Options of the strategy and of the suite are among them where the line names these. Typer passes
    its context by the name ``ctx``; the context's class differs from release to release.
    """
    from ..runs.config import RunConfig

    given = ctx.params
    offers = dict(_keys_of(RunConfig, ""))
    with contextlib.suppress(Exception):  # an unknown name, or a plugin that cannot be imported
        offers |= _options_of(given)
    return [(f"{key}=", text) for key, text in offers.items() if key.startswith(incomplete)]


def _plugins() -> "Plugins":
    from ..plugins.manager import Plugins

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Plugins.load(on_problem=lambda problem: None)


def _named(kind: "Kind", incomplete: str) -> _Offers:
    from ..plugins.descriptions import first_line_of

    offers = []
    for contribution in _plugins().contributions(kind):
        if contribution.name.startswith(incomplete):
            value = contribution.value
            own = (value.__doc__ or "").strip().partition("\n")[0]
            text = first_line_of(value) if isinstance(value, str) else own
            offers.append((contribution.name, text or contribution.source.plugin))
    return offers


def _keys_of(model: type[BaseModel], before: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        inner = [kind for kind in _kinds(field.annotation) if issubclass(kind, BaseModel)]
        if inner:
            for kind in inner:
                yield from _keys_of(kind, f"{before}{name}.")
        else:
            yield f"{before}{name}", field.description or ""


def _kinds(annotation: Any) -> list[type]:
    """List all classes in an annotation."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _kinds(part)]


def _options_of(given: Mapping[str, Any]) -> dict[str, str]:
    from .option_tables import function_options

    plugins = _plugins()
    offers: dict[str, str] = {}
    if given.get("strategy"):
        config = plugins.strategy(given["strategy"]).Config
        offers |= {name: field.description or "" for name, field in config.model_fields.items()}
    if given.get("suite"):
        table = function_options("suite", given["suite"], plugins.suite(given["suite"]))
        offers |= {f"suite.{option.name}": option.description for option in table.options}
    return offers
