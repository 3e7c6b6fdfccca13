"""The control socket of a run: the protocol, its server, and where sockets are."""
