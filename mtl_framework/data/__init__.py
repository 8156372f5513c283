"""Data: the embedded suites and the batches that training reads."""
