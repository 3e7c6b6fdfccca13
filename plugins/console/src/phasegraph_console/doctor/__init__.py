"""``kernel doctor``: facts of this computer and its network, and what they mean for a run.

`host_reader` and `ptp_listener` read facts. `host_checks`, `graph_checks` and `ptp_checks` judge them, and do no I/O.
"""
