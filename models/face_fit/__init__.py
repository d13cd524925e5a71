"""A face in a clip → the coefficients of AudioDVP's face model, frame by frame.

`mesh` solves for them in closed form from points of the face, `photometric` goes on from there
with the pictures; `network` trains AudioDVP's own, `deep3d` takes what Deep3D's regressor says.
Coefficients, camera and px (of 256) are those of `models.audiodvp.face_model`.
"""
