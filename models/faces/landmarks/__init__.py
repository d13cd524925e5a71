"""68 landmarks of a face by FAN: the network, its crop, and the decoding of its heatmaps."""
