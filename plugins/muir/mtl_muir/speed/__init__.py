"""This only makes it fast: it gives the same numbers with fewer calls and less memory."""
