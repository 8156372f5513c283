"""A report shows who uses which hypermodules, in figures and numbers."""
