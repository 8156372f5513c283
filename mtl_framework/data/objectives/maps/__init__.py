"""Objectives of tasks whose outputs are maps: a value, class or direction at every pixel."""
