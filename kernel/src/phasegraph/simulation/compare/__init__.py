"""One compensator after the other in the same simulated worlds, side by side."""
