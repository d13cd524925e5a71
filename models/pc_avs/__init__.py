"""PC-AVS: Zhou et al., "Pose-Controllable Talking Face Generation by Implicitly Modularized
Audio-Visual Representation", CVPR 2021; public repository Hangz-nju-cuhk/Talking-Face_PC-AVS.

Images are RGB in -1..1, 224 px. A face is made from an identity (of one photo), a mouth (of the
audio) and a head pose (of another video).
"""

CLASSES = 5830
"""Of the classifiers that the encoders were trained with; only the files need them."""
FEATURES = 512
"""Length of a mouth, head pose or audio feature."""
