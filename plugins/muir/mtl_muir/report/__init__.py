"""What a report shows of it: who uses which hypermodules, and figures."""
