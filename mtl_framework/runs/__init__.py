"""A run has a configuration, a loop, checkpoints and a folder, and can be loaded again."""
