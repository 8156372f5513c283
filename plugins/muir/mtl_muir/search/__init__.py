"""The search finds, by an evolutionary algorithm, which hypermodule every block uses."""
