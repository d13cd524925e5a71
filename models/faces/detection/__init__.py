"""Face detectors: networks, and the decoding of their outputs."""
