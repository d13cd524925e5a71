"""Spectrograms and cepstra of speech, as published networks take them."""
