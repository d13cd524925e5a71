"""IP-LAP: Zhong et al., "Identity-Preserving Talking Face Generation with Landmark and
Appearance Priors", CVPR 2023; public repository Weizhi-Zhong/IP_LAP.

Images are BGR in 0..1. Landmarks are (2, n), x in row 0, in 0..1 of the face crop.
"""
