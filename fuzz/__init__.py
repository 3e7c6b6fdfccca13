"""Fuzz targets for all input that Phasegraph takes from strangers; see docs/fuzzing.md."""
