"""A comparison is many runs from one config: they are planned, run, and reported together.

Data flows config -> grid -> execution -> records -> figures and tables; a cell of the grid is an
ordinary run in a folder of its own.
"""
