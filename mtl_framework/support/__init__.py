"""This room holds errors, files, YAML, validation, seeds, devices, signals, and no learning."""
