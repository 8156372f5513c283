"""Modular universal reparameterization (Meyerson and Miikkulainen 2019, arXiv 1906.00097), as a plugin."""
