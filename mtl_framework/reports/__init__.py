"""Tables, statistics, figures and the page made from finished runs."""
