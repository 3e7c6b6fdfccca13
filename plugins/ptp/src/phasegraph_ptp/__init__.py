"""Phasegraph plugin: IEEE 1588 (PTP) for media networks.

So far it holds the wire format, in `phasegraph_ptp.wire`. It registers no kinds yet; see README.md.
"""
