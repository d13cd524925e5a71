"""Dubs that are submitted, and run when somebody waits for them or a worker is there."""
