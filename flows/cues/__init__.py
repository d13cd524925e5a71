"""Cue sheets: who says what, when."""
