"""Phasegraph plugin: the runs of a computer as an NMOS node.

A run is seen and changed by its control socket (``phasegraph.control``). ``model`` makes the NMOS resources of it,
``connection`` is the machine of staged and active parameters (IS-05), ``registration`` the dialogue with a registry
(IS-04): all without I/O. ``http`` answers requests, and ``node_process`` connects all of it.
"""
