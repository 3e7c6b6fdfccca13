"""Plugins: their hooks, and how they are found and loaded."""
