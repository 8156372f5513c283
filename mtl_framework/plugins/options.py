"""A plugin's name stands in a configuration together with its options."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class NamedOptions(BaseModel):
    """A section of a config names a plugin and holds its options, which the plugin validates."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Return the keys beside ``name``."""
        return dict(self.model_extra or {})
