"""The NumPy arrays of the models by name: type, axes, and what the numbers say.

An axis has the same length in all arguments and results of one call; so two `Crop`s of one call are
equally large. Where a function takes another colour order or unit than here, its docstring says so.
Coordinate systems are those of `models.faces`; the tensors of the networks are in `models.tensors`.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, UInt8

Numbers = Float[np.ndarray, "..."]  # of any shape and precision

# Pictures
Picture = UInt8[np.ndarray, "height width 3"]  # a frame or an area of one, RGB
Mask = UInt8[np.ndarray, "height width"]  # one level a pixel of a picture: 0 outside, 255 inside
# A square picture, RGB: in most modules the aligned lower face (`models.faces.crop`)
Crop = UInt8[np.ndarray, "size size 3"]
CropMask = UInt8[np.ndarray, "size size"]  # one level a pixel of a crop: 0 outside, 255 inside
SizedCrop = UInt8[np.ndarray, "{size} {size} 3"]  # a crop whose side is the argument `size` [px]
# A crop's mask whose side is the argument `size` [px]
SizedMask = UInt8[np.ndarray, "{size} {size}"]

# Maps between coordinate systems
# Affine, frame px → crop px, both counted from the corner of the first pixel
Transform = Float32[np.ndarray, "2 3"]
Transforms = Float32[np.ndarray, "frame 2 3"]  # the `Transform` of each frame
# Affine, frame px → crop px, both counted from the centre of the first pixel, as OpenCV does
Affine = Float64[np.ndarray, "2 3"]
Boxes = Int64[np.ndarray, "frame 4"]  # each frame's x0, y0, x1, y1 in whole px, ends excluded

# Points of faces, x first
Mesh = Float32[np.ndarray, "478 3"]  # the points of `models.faces.mesh`: x, y, z
# The same, x and y first; what follows is not read
MeshPoints = Float32[np.ndarray, "478 coordinate"]
Meshes = Float32[np.ndarray, "frame 478 3"]  # the mesh of each frame
# The points of `models.faces.mesh.indices.MOUTH`, canonical [face heights]
Mouth = Float32[np.ndarray, "57 3"]
Mouths = Float32[np.ndarray, "frame 57 3"]  # the mouth of each frame
Points2D = Float32[np.ndarray, "frame point 2"]  # some points of each frame: x, y
Points3D = Float32[np.ndarray, "frame point 3"]  # some points of each frame: x, y, z
Landmarks68 = Float[np.ndarray, "68 2"]  # the 68 points of iBUG's 300-W: x, y [px]
# Eyes (left and right in the image), nose, corners of the mouth: x, y [px]
FivePoints = Float[np.ndarray, "5 2"]
# Each frame's face on 32 x 32 px, RGB, whatever its pose (`models.faces.occlusion.face_look`)
Looks = UInt8[np.ndarray, "frame 32 32 3"]
# What a face looks like, of length one (`models.faces.recognition`)
Descriptor = Float32[np.ndarray, " feature"]
Descriptors = Float32[np.ndarray, "track feature"]  # the descriptor of each track
FrameBoxes = Float32[np.ndarray, "frame 4"]  # each frame's x0, y0, x1, y1 [px]

# One value a frame
# Whether something holds for a frame: `valid`: the face is seen; `scene_start`: the frame is the
# first after a cut
FrameMask = Bool[np.ndarray, " frame"]
FrameValues = Float32[np.ndarray, " frame"]  # a number for each frame
# For each frame a row of something else, a bank or a detector's slots
FrameRows = Int32[np.ndarray, " frame"]
Seconds = Float64[np.ndarray, " frame"]  # when each frame is shown, ascending [s]

BankRows = Int32[np.ndarray, " row"]  # a whole number for each row of a bank of frames

# Sound
Waveform = Float32[np.ndarray, " sample"]  # mono, -1..1
# Log-mel of `models.audio.mel`, 80 columns a second, -4..4; 0.08 is 1 dB
Mel = Float32[np.ndarray, "column 80"]
BandColumns = Float32[np.ndarray, "column band"]  # what a network hears, column by column
Bands = Float32[np.ndarray, " band"]  # a number for each band of what a network hears
SpeechFeatures = Float[np.ndarray, "step 512"]  # of `models.whisper.encoder`, 50 steps a second

# Motion of a mouth from its neutral shape, 25 ticks a second [face heights]
TickMouths = Float32[np.ndarray, "tick 57 3"]  # the mouth's points, canonical
Components = Float32[np.ndarray, "tick component"]  # motion on an orthonormal basis of all points
# That basis: x, y, z of the 57 points one after the other
MotionBasis = Float32[np.ndarray, "component 171"]
# What the last layer of the network makes motion of
TickFeatures = Float32[np.ndarray, "tick feature"]
# A number for each tick; `seen`: 1 where the face was seen, else 0
TickValues = Float32[np.ndarray, " tick"]
# For each point of a mouth the row of another among the 57, such as its mirror image
MouthRows = Int64[np.ndarray, "57"]
