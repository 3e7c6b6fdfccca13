"""Sound cards in and out, through PortAudio."""
