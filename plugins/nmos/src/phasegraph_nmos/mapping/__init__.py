"""Channel mapping (IS-08): which channel of which source each channel of a sink has. No I/O."""
