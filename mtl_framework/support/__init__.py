"""The room of errors, files, YAML, validation, seeds, devices and signals knows no learning."""
