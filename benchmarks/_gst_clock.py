"""GStreamer's PTP clock, read against CLOCK_REALTIME: a program of ptp_accuracy.py, run on the far host.

By hand: python _gst_clock.py INTERFACE DOMAIN. Once it is synchronised it prints a line 20 times a second:
CLOCK_REALTIME in ns, and by how much the clock differs from it.
"""

from __future__ import annotations

import ctypes
import sys
import time

LIBRARIES = ("libgstreamer-1.0.so.0", "libgstnet-1.0.so.0")
_NO_ID = 2**64 - 1  # GST_PTP_CLOCK_ID_NONE: any
_PERIOD_S = 0.05
_ATTEMPTS = 5


def main(interface: str, domain: int) -> None:
    """Print readings until killed."""
    core, net = (ctypes.CDLL(name) for name in LIBRARIES)
    net.gst_ptp_clock_new.restype = ctypes.c_void_p
    core.gst_clock_get_time.restype = ctypes.c_uint64
    core.gst_clock_get_time.argtypes = core.gst_clock_is_synced.argtypes = [ctypes.c_void_p]
    core.gst_init(None, None)
    interfaces = (ctypes.c_char_p * 2)(interface.encode(), None)
    if not net.gst_ptp_init(ctypes.c_uint64(_NO_ID), interfaces):
        raise SystemExit("gst_ptp_init failed: has gst-ptp-helper the right to use ports 319 and 320?")
    clock = net.gst_ptp_clock_new(b"ptp", domain)
    while True:
        time.sleep(_PERIOD_S)
        if core.gst_clock_is_synced(clock):
            real, gst = min(_reading(core, clock) for _ in range(_ATTEMPTS))[1:]
            print(real, gst - real, flush=True)


def _reading(core: ctypes.CDLL, clock: int) -> tuple[int, int, int]:
    """How long it took, CLOCK_REALTIME in the middle, and the clock's time."""
    before = time.time_ns()
    told = int(core.gst_clock_get_time(clock))
    after = time.time_ns()
    return after - before, (before + after) // 2, told


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
