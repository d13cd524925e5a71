"""Marks of origin in the signal: a 32-bit number in sound and in the changed part of a picture.

Embedding and detection are pure functions; what a file is read with is `tasks.result.marks`.
"""
