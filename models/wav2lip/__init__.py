"""Wav2Lip (Prajwal et al., 2020): generator, visual-quality critic, expert, and inference steps."""
