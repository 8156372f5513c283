"""YAML as configs are written: safe, with exponents as numbers and lines to point at."""

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import MtlError

Path_ = tuple[str, ...]

# YAML 1.1 wants a dot in 1.0e-3; everybody writes 1e-3
_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
    |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


class _Loader(yaml.SafeLoader):
    pass


class _Dumper(yaml.SafeDumper):
    pass


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # YAML counts these as line breaks, which only double quotes keep
    quoted = '"' if set(text) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quoted)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(values: Any) -> str:
    """Plain values as YAML text, keys in their order."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def parse_scalar(text: str, where: str) -> Any:
    """One value, as written after ``--set key=``.

    Raises:
        MtlError: if the text is not YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise MtlError(f"{where}: {text!r} is not valid YAML ({_reason(error)})") from error


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Path_, int]]:
    """A mapping from a file, and the line of each of its keys, by path.

    Raises:
        MtlError: naming file and line if it cannot be read, is not YAML, holds a key twice, or is
            not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise MtlError(f"cannot read config file {path}: {reason}") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        values = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise MtlError(f"{path}{line}: not valid YAML ({_reason(error)})") from error
    if root is None:
        return {}, {}
    if not isinstance(values, dict):
        raise MtlError(f"{path}: should hold keys and values, found {type(values).__name__}")
    lines: dict[Path_, int] = {}
    _note_lines(root, (), lines, path)
    return values, lines


def _note_lines(node: yaml.Node, prefix: Path_, lines: dict[Path_, int], file: Path) -> None:
    if isinstance(node, yaml.SequenceNode) and len(prefix) < 20:
        for position, item in enumerate(node.value):
            lines.setdefault((*prefix, str(position)), item.start_mark.line + 1)
            _note_lines(item, (*prefix, str(position)), lines, file)
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
            continue
        here = (*prefix, key.value)
        line = key.start_mark.line + 1
        if key.value in seen:
            raise MtlError(f"{file}:{line}: key {'.'.join(here)!r} occurs twice")
        seen.add(key.value)
        lines.setdefault(here, line)
        if len(here) < 20:  # an anchor can contain itself
            _note_lines(value, here, lines, file)


def _reason(error: Exception) -> str:
    problem = getattr(error, "problem", None)
    return " ".join(str(problem or error).split())
