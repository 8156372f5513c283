"""One run: its configuration, its loop, its checkpoints and folder, and loading it again."""
