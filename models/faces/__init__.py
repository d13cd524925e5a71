"""Faces in video: tracks, pose, crops, occlusion and blending, and the networks that read faces.

A point or a box is in one of six coordinate systems. In all of them x runs right and y down in the
picture. All but the canonical one count pixels from the upper left corner of their picture, so that
the pixel in row r and column c has its centre at (c + 0.5, r + 0.5). OpenCV, and the published
procedures whose modules say so, count from the centre of the first pixel: there that centre lies at
(c, r). `crop.crop.pixel_matrix` translates a transform.

- *frame*: the upright decoded frame at full size; its px. Meshes have a third axis, z, which runs
  away from the camera in the same unit (weak perspective; the detector chooses its origin).
- *detection*: the frame scaled down until its longer side is at most 1280 px, in which faces are
  searched; its px. A smaller frame is searched as it is. z in the same unit.
- *region*: the square around one face in the detection picture, turned until the eyes lie level,
  which the mesh network reads as 192 x 192 px; these px. z in the same unit.
- *canonical*: the mean face's own system, free of any head's pose (`mesh.align.Pose` leads to the
  frame). Unit: the height of the mean face, from forehead (point 10) to chin (point 152). Origin:
  the mean of its 23 rigid points (`mesh.indices.RIGID`). z runs away from the camera.
- *crop*: a square around the lower face (`crop.crop`), aligned or as it was filmed, `size` x `size`
  px; these px. A transform (2 x 3) leads to it from the frame, and scales z along.
- *area*: the upright rectangle of whole frame px that covers a crop and a few px more; px of the
  frame, counted from the rectangle's corner (x0, y0): frame = area + (x0, y0).
"""
