"""Face restoration by GPEN and GFPGAN, with the alignment and pasting around them."""
