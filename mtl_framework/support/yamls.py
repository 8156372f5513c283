"""YAML is read as configs are written: plain values, exponents as numbers, lines to point at.

A config is small. What is read is bounded in bytes, entries and depth, aliases count as what they
repeat, and only the tags of plain values (text, numbers, booleans, null, lists and mappings) are
known, so that no file can hang a command or exhaust its memory. Keys are the text that stands
there: ``0:`` is the key ``"0"``.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import MtlError

Path_ = tuple[str, ...]

MOST_BYTES = 1 << 20
MOST_ENTRIES = 20_000
MOST_DEPTH = 32

# YAML 1.1 wants a dot in 1.0e-3; everybody writes 1e-3
_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
    |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null")}


class _Loader(yaml.SafeLoader):
    """It reads nodes within the bounds; ``source`` is the file's name, or empty."""

    def __init__(self, text: str, source: str = "") -> None:
        super().__init__(text)
        self.source = source
        self._depth = self._entries = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._entries += 1
        if self._depth > MOST_DEPTH:
            self.refuse(self._mark(), f"nested more than {MOST_DEPTH} levels deep")
        if self._entries > MOST_ENTRIES:
            self.refuse(self._mark(), f"more than {MOST_ENTRIES:,} entries")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _mark(self) -> yaml.Mark:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return mark

    def refuse(self, mark: yaml.Mark, reason: str) -> None:
        """Raise the error that names a place in the text.

        Raises:
            MtlError: always.
        """
        place = f"{self.source}:{mark.line + 1}: " if self.source else ""
        raise MtlError(f"{place}{reason}")


class _Dumper(yaml.SafeDumper):
    pass


# Numbers are those that everybody takes for one: 12:30 (YAML 1.1: 750) and 010 (8) stay texts, and
# so does a date, as no option of a config is one.
_INT = re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_Loader.yaml_implicit_resolvers = {
    first: [
        pair for pair in pairs if pair[0] not in (f"{_TAG}timestamp", f"{_TAG}int", f"{_TAG}float")
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))
_Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # YAML counts these as line breaks, which only double quotes keep
    quoted = '"' if set(text) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=quoted)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(values: Any) -> str:
    """Write plain values as YAML text, keys in their order."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def parse_scalar(text: str, where: str) -> Any:
    """Parse one value, as written after ``--set key=``.

    Raises:
        MtlError: if the text is not YAML, or beyond the bounds.
    """
    try:
        return _read(text, "")[0]
    except MtlError as error:
        raise MtlError(f"{where}: {error}; found {text[:80]!r}") from error


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Path_, int]]:
    """Read a mapping from a file, and the line of each of its keys, by path.

    Raises:
        MtlError: naming file and line if it cannot be read, is not YAML, holds a key twice, is not
            a mapping, or is beyond the bounds.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise MtlError(
                f"{path} is {size:,} bytes long, a config file at most {MOST_BYTES:,}: is it one?"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise MtlError(f"cannot read config file {path}: {reason}") from error
    values, lines = _read(text, str(path))
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise MtlError(f"{path}: should hold keys and values, found {type(values).__name__}")
    return values, lines


def _read(text: str, source: str) -> tuple[Any, dict[Path_, int]]:
    """Read values and lines of a document; without ``source`` errors name no place."""
    prefix = source or ""
    try:
        loader = _Loader(text, source)
        root = loader.get_single_node()
        if root is None:
            return None, {}
        reader = _Reader(loader)
        return reader.value(root, ()), reader.lines
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{prefix}:{mark.line + 1}: " if mark and prefix else (prefix and f"{prefix}: ")
        raise MtlError(f"{line}not valid YAML ({_reason(error)})") from error


class _Reader:
    """It makes values of nodes, counts what aliases repeat, and notes the lines of keys."""

    def __init__(self, loader: _Loader) -> None:
        self.lines: dict[Path_, int] = {}
        self._loader = loader
        self._entries = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Path_) -> Any:
        """Give the plain value of a node at a path."""
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            text = f"more than {MOST_ENTRIES:,} entries, those that aliases repeat included"
            self._loader.refuse(node.start_mark, text)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._loader.refuse(node.start_mark, "an alias stands within what it repeats")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return self._sequence(node, path)
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._mapping(node, path)
        finally:
            self._open.discard(id(node))
        raise self._unknown_tag(node)

    def _sequence(self, node: yaml.SequenceNode, path: Path_) -> list[Any]:
        values = []
        for position, item in enumerate(node.value):
            here = (*path, str(position))
            self.lines.setdefault(here, item.start_mark.line + 1)
            values.append(self.value(item, here))
        return values

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if key.tag == f"{_TAG}merge":
                sources = item.value if isinstance(item, yaml.SequenceNode) else [item]
                for source in sources:
                    base = self.value(source, path)
                    if not isinstance(base, dict):
                        self._loader.refuse(key.start_mark, "<< should be followed by mappings")
                    merged = {**base, **merged}
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._loader.refuse(key.start_mark, "a key should be a text")
            here = (*path, str(key.value))
            if key.value in own:
                name = ".".join(here)
                self._loader.refuse(key.start_mark, f"key {name[:80]!r} occurs twice")
            self.lines[here] = key.start_mark.line + 1
            own[str(key.value)] = self.value(item, here)
        return {**merged, **own}

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag not in _SCALARS:
            raise self._unknown_tag(node)
        try:
            return self._loader.construct_object(node)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            kind = node.tag.removeprefix(_TAG)
            text = f"not valid YAML ({str(node.value)[:80]!r} is no {kind})"
            mark = node.start_mark
            place = f"{self._loader.source}:{mark.line + 1}: " if self._loader.source else ""
            raise MtlError(f"{place}{text}") from error

    def _unknown_tag(self, node: yaml.Node) -> yaml.YAMLError:
        tag = str(node.tag).replace(_TAG, "!!")
        return yaml.constructor.ConstructorError(
            None, None, f"the tag {tag[:80]!r} is none of a plain value", node.start_mark
        )


def _reason(error: Exception) -> str:
    problem = getattr(error, "problem", None)
    return " ".join(str(problem or error).split())[:200]
