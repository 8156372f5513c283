"""Metrics that tasks report, computed by torchmetrics over all rows of a split.

torchmetrics is imported when a metric is first computed: it takes a second.
"""
