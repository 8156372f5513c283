"""What the documentation site needs beyond MkDocs: called by it, see ``hooks`` in mkdocs.yml.

Pages of docs/ are read in the repository, too. There they link to code outside docs/, which the
site does not have: such links become plain text. A page of the reference holds a line
``<!-- public names of MODULE -->``, in whose place the site puts every name of the module.
"""

import re
from functools import partial
from html import unescape
from importlib import import_module
from inspect import isclass, isroutine
from typing import Any

from latex2mathml.converter import convert


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Prepare a page's text: links that leave docs/, and lists of public names."""
    depth = page.file.src_uri.count("/")
    outside = "../" * (depth + 1)
    text = re.sub(rf"\[([^\]\n]+)\]\({re.escape(outside)}[^)\s]*\)", r"\1", markdown)
    return re.sub(r"^<!-- public names of (\S+) -->$", _names, text, flags=re.MULTILINE)


def on_page_content(html: str, **_: object) -> str:
    """Show formulas as MathML, which needs no script, and roles such as ``:class:`` as names."""
    for pattern, display in (
        (r"\\\((.+?)\\\)(?=</span>)", "inline"),
        (r"\\\[(.+?)\\\](?=</div>)", "block"),
    ):
        html = re.sub(pattern, partial(_formula, display), html, flags=re.DOTALL)
    return re.sub(
        r":(?:class|func|meth|mod|data|attr):<code>~?([^<]+)</code>", r"<code>\1</code>", html
    )


def _formula(display: str, match: "re.Match[str]") -> str:
    return str(convert(unescape(match[1]).strip(), display=display))


def _names(match: "re.Match[str]") -> str:
    """Classes and functions by their docstrings; of anything else, the name."""
    module = import_module(match[1])
    names = [name for name in module.__all__ if not name.startswith("__")]
    kinds = {name: getattr(module, name) for name in names}
    described = [name for name, value in kinds.items() if isroutine(value) or isclass(value)]
    rest = [f"`{name}`" for name in names if name not in described]
    lines = [f"::: {match[1]}.{name}" for name in described]
    return "\n\n".join([*lines, *([f"Values: {', '.join(rest)}."] if rest else [])])
