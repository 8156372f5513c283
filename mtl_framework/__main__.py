"""``python -m mtl_framework`` is the command ``mtl``."""

from .cli import main

main()
