"""A face in a clip → the coefficients of AudioDVP's face model, frame by frame.

`mesh` solves for them in closed form from points of the face, `photometric` goes on from there
with the pictures. Coefficients, camera and px (of 256) are those of `models.audiodvp.face_model`.
"""
