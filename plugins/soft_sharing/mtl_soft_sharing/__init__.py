"""Networks whose activations are mixed instead of their weights shared, as a plugin."""
