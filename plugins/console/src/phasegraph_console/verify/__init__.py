"""PASS or FAIL of streams and clocks, by published limits: `kernel verify`."""
