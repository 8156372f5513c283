"""Options that several suites have."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",")]
    return [str(name) for name in value] if isinstance(value, list | tuple) else value


#: A list of names, also as one text with commas between them, as they are typed on a command line.
Names = Annotated[list[str], BeforeValidator(_names)]

#: What should be done with files that hold several pictures.
Animated = Literal["refuse", "first"]
