"""What runs in place of a graph's nodes in a simulation, and the kinds whose names begin with ``sim-``."""
