"""Numbers of the mediapipe face-mesh points (of 478) by part of the face.

Orders follow IP-LAP's landmark lists (Zhong et al. 2023, code `preprocess_video.py`), so that
the arrays of this project and of that method mean the same points.
"""

N_POINTS = 478

JAW: tuple[int, ...] = (
    *(132, 58, 172, 136, 150, 149, 176, 148, 152),
    *(377, 400, 378, 379, 365, 397, 288, 361),
)
"""17 points of the lower face oval, from the right ear lobe over the chin (152) to the left."""

OUTER_LIP: tuple[int, ...] = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
)
"""20 points of the outer lip contour, clockwise in the image from the subject's right corner."""

INNER_LIP: tuple[int, ...] = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
"""20 points of the inner lip contour, in the same order as OUTER_LIP."""

LIPS = OUTER_LIP + INNER_LIP
MOUTH = JAW + LIPS
"""The 57 points that speech moves: 17 jaw, 20 outer lip, 20 inner lip."""

RIGID: tuple[int, ...] = (
    *(33, 133, 362, 263),
    *(168, 6, 197, 195, 5),
    *(10, 67, 109, 338, 297, 151, 9, 8),
    *(127, 234, 356, 454, 162, 389),
)
"""23 points that speech hardly moves: eye corners, nose bridge, forehead, temples."""

NOSE_TIP = 1

MOUTH_CORNERS = (61, 291)
"""The subject's right and left."""

UPPER_INNER_LIP, LOWER_INNER_LIP = 13, 14
"""The two points whose distance is the mouth opening."""
