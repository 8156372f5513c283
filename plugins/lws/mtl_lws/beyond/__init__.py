"""Ideas beyond the paper, one a file, are options that ``preset: paper`` leaves off."""
