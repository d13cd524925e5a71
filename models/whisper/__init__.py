"""Whisper: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023.

Only the lower part of the base model's audio encoder, whose features tell speech sounds apart,
whoever speaks.
"""
