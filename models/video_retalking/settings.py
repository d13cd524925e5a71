"""What a user can choose of VideoReTalking. Imports nothing heavy."""

from typing import Literal

from models.wav2lip.settings import Wav2LipCropSettings

CropSettings = Wav2LipCropSettings
"""Its boxes are Wav2Lip's with other pads."""

PUBLISHED_CROPS = CropSettings(pads=(0, 20, 0, 0))

Smoothing = Literal["savgol", "none"]
Template = Literal["neutral", "smile", "person", "picture"]
UpperFace = Literal["original", "sad", "angry", "surprise"]
Noise = Literal["fixed", "random", "none"]
Paste = Literal["soft", "published"]
Enhancer = Literal["none", "gpen", "gfpgan"]
Teeth = Literal["none", "gfpgan"]
