"""The 478-point face mesh: point sets and the alignment that separates pose from mouth shape."""
