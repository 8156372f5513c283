"""Decoders are a task's own last layers where its outputs are maps."""
