"""Tasks report metrics, which torchmetrics computes over all rows of a split.

torchmetrics is imported when a metric is first computed: it takes a second.
"""
