"""Which parts of prepared data an epoch of training shows, and in which order."""
