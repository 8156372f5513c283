"""Real data beside the project's checkout: for tests, which skip where it is absent."""

from pathlib import Path

FOLDER = Path(__file__).parents[3] / "shared" / "data"
