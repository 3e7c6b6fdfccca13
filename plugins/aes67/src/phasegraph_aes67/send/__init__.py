"""Sending: a schedule of departures, rows of packets, and the sockets that they leave by."""
