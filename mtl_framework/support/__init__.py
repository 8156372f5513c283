"""This room knows nothing of learning: errors, files, YAML, validation, seeds, devices, signals."""
