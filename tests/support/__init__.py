"""What several tests use: tiny networks and suites, the oracle, made-up runs."""
