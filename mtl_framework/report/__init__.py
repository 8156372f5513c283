"""Figures and one self-contained HTML page from the folders of runs and comparisons."""
