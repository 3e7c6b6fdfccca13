"""Sockets for clock protocols: every packet is stamped when it comes and goes."""
