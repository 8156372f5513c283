"""What goes beyond the paper: one idea a file, each an option that is off in ``preset: paper``."""
