"""ArcFace: embeddings by which faces are recognised (Deng et al., CVPR 2019)."""
