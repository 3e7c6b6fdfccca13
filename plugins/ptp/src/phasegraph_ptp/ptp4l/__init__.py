"""Following a ptp4l that runs on this computer: no port of our own, its answers and the clock that it stamps with."""
