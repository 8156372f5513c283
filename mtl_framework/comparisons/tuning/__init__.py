"""Options are chosen by validation: many runs, each with the options that a search proposes."""
