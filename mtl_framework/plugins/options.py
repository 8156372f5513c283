"""A plugin's name with its options, as a configuration has them."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class NamedOptions(BaseModel):
    """A plugin's name and, beside it, its options; the plugin validates those."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside ``name``."""
        return dict(self.model_extra or {})
