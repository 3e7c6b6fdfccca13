"""Sockets for packets that carry samples: drained and filled by the array, not by the packet."""
