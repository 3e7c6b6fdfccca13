"""A stream by HTTP, for players and browsers."""
