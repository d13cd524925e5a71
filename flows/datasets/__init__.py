"""Data sets by name: how their folders look, and whose clip belongs to which split.

Adding one whose files only need names and folders: a YAML file. One with lists of its own: a reader
in flows/datasets/readers.py as well.
"""
