"""Phasegraph plugin: AirPlay timing.

So far it holds two wire formats, in `compact` and `ntp`. It registers no kinds yet; see README.md.
"""
