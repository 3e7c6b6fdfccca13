"""The protocol without I/O: data sets, best master clock algorithm, port states, delay mechanisms (IEEE 1588-2019)."""
