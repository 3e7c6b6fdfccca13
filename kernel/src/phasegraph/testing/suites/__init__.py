"""Conformance suites: what every plugin, and every node of a kind, must do. See ``docs/write-a-plugin.md``."""
