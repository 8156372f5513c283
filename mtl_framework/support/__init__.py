"""What knows nothing of learning: errors, files, YAML, validation, seeds, devices and signals."""
