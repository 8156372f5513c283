"""Pseudo-task augmentation (Meyerson and Miikkulainen 2018, arXiv 1803.04062), as a plugin."""
