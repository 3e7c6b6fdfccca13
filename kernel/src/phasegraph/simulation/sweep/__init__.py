"""Simulations by the thousand: every combination of options, strategies, scenarios and seeds."""
