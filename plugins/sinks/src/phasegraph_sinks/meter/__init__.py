"""Levels of a stream: peaks, loudness, phase, and alarms."""
