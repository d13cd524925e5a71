"""Triangles in clip space → pictures, in plain torch: CPU and CUDA, nothing to compile.

The meaning is that of google/tf_mesh_renderer, which AudioDVP renders with: `visibility` finds
without gradient what is seen, and `interpolation` blends the corners' values with one.
"""
