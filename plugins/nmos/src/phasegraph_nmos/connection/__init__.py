"""The machine of staged and active parameters (IS-05). No I/O: times are arguments."""
