"""Persistence: artifacts, catalog, media files, shipped weights."""
