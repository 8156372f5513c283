"""Reports turn finished runs into tables, statistics, figures and a page."""
