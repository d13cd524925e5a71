"""The tensors of the networks by name: type and axes.

An axis has the same length in all arguments and results of one call. Colour order and range are
those of a network, whose docstrings say them. The arrays around the networks are in
`models.arrays`.
"""

from jaxtyping import Float, UInt8
from torch import Tensor

Scalar = Float[Tensor, ""]  # one number, as a loss is

Images = Float[Tensor, "batch 3 height width"]  # colour pictures as networks take and give them
# Colour pictures of 8 bits, as they travel to the device and back
ImageBytes = UInt8[Tensor, "batch height width 3"]

# Pictures or features of any number of channels
FeatureMaps = Float[Tensor, "batch channel height width"]
# What a layer makes of `FeatureMaps`, of channels and size of its own
OutputMaps = Float[Tensor, "batch out_channel out_height out_width"]
# What a layer makes of `FeatureMaps` at half their size
HalvedMaps = Float[Tensor, "batch out_channel height//2 width//2"]
# Feature maps, one of several that share nothing but the batch
AnyMaps = Float[Tensor, "batch _channel _height _width"]

# For each vertex of each mesh a position, a unit normal or an RGB colour
PerVertex = Float[Tensor, "batch vertex 3"]
Points68 = Float[Tensor, "batch 68 2"]  # the 68 points of iBUG's 300-W: x, y [px]

Embeddings = Float[Tensor, "batch 512"]  # 512 numbers that stand for a sample
# A vector a sample, with or without axes of length 1 behind
Vectors = Float[Tensor, " batch *vector"]
MelWindow = Float[Tensor, "batch 1 80 16"]  # 0.2 s of `models.audio.mel`, -4..4
# The same of frames or (with an axis of time) of clips
MelWindows = Float[Tensor, " batch *time 1 80 16"]
# Faces of frames or (with an axis of time) of clips: one with its lower half 0, then a reference
FaceSequences = Float[Tensor, "batch 6 *time height width"]
# Colour pictures of frames or (with an axis of time) of clips
ImageSequences = Float[Tensor, "batch 3 *time height width"]
