"""The aligned lower-face crop, and the way back into the frame: shared by all methods."""
