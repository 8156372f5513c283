"""Many runs from one config: what to run, running it, and what it tells.

Data flows config -> grid -> execution -> records -> figures and tables; a cell of the grid is an
ordinary run in a folder of its own.
"""
