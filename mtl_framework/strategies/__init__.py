"""This room says what a strategy is, and what it is given while it trains."""
