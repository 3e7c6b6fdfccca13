"""The dialogue with registries (IS-04). No I/O: times are arguments."""
