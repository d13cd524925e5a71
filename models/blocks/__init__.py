"""Blocks that networks of several papers share."""
