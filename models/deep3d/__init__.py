"""Faces as 257 coefficients of a parametric model (Deng et al., Deep3DFaceRecon, CVPRW 2019)."""
