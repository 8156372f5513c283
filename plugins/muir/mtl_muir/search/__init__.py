"""Its search: which hypermodule every block uses, found by an evolutionary algorithm."""
