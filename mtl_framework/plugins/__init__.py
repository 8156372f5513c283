"""Plugins are found and checked here, and the hooks that they implement are specified."""
