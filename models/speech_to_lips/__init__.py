"""Mouth motion from speech: the network of the default method, its training and use."""
