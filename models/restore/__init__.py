"""Restoring faces: GPEN and GFPGAN, and the steps around them."""
