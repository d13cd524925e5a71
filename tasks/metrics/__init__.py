"""Metrics as stages: per frame where that makes sense, and kept like every other artifact."""
