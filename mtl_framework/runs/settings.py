"""Settings are single keys of a config, as given by ``--set``."""

import re
from dataclasses import dataclass
from typing import Any

from ..support.errors import MtlError
from ..support.validation import KeyPath, dotted, shortened
from ..support.yamls import parse_scalar

_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^.="'][^.=]*))\s*([.=])""")
# Several values with commas between them, of which at least one is in quotes
_QUOTED = r"""\s*(?:"(?:[^"\\]|\\.)*"|'[^']*')\s*"""
_PLAIN = r"""[^,"'\[\]{}]+"""
_QUOTED_LIST = re.compile(
    rf"(?:{_PLAIN},)*{_QUOTED}(?:,(?:{_QUOTED}|{_PLAIN}))+|(?:{_PLAIN},)+{_QUOTED}"
)


@dataclass(frozen=True)
class Setting:
    """A setting is one ``--set key=value``; ``key`` is split at its dots."""

    key: KeyPath
    value: Any


def parse_setting(text: str) -> Setting:
    """Parse ``key=value``, the value in YAML: ``samples=4``, ``backbone.shared=[stem,layer1.0]``.

    A part of the key that has a dot or an equals sign itself is put in quotes:
    ``suite.kinds."height.cm"=number``; within double quotes, ``\\"`` is a quote. Texts in
    quotes with commas between them are a list: ``suite.tasks="a,b",c``.

    Raises:
        MtlError: if there is no key, or the value is not YAML.
    """
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            raise MtlError(
                f"--set should be key=value, found {shortened(text)!r}; put a name with dots in "
                "quotes: 'suite.kinds.\"a.b\"=number'"
            )
        double, single, plain, end = match.groups()
        if double is not None:
            parts.append(re.sub(r"\\(.)", r"\1", double))
        else:
            parts.append(single if single is not None else plain.strip())
        position = match.end()
        if end == "=":
            break
    value, where = text[position:], f"--set {dotted(parts)}"
    if _QUOTED_LIST.fullmatch(value):
        value = f"[{value}]"
    return Setting(tuple(parts), parse_scalar(value, where))


def key_of(text: str) -> KeyPath:
    """Split a key at its dots: ``backbone.shared``.

    Raises:
        MtlError: if the text is no key.
    """
    return parse_setting(f"{text}=null").key
