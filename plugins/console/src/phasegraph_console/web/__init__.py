"""The console: the runs of this machine in a browser, by HTTP, and for Prometheus."""
