"""The 68 facial landmarks of iBUG 300-W: index ranges, regions, mirror order.

Order: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67
(Sagonas et al., "300 Faces in-the-Wild Challenge", ICCV-W 2013). Left and right are the picture's.
"""

COUNT = 68

JAW = range(0, 17)
BROWS = range(17, 27)
NOSE = range(27, 36)
LEFT_EYE = range(36, 42)
RIGHT_EYE = range(42, 48)
EYES = range(36, 48)
OUTER_LIPS = range(48, 60)
INNER_LIPS = range(60, 68)
LIPS = range(48, 68)

# Points that speech hardly moves: the reference for head pose (jaw ends, brows, nose, eye corners).
RIGID = (0, 1, 15, 16, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45)

# The six groups that density maps are summed by (CPNet's probability maps, regional variant).
DENSITY_REGIONS = (JAW, BROWS, NOSE, EYES, OUTER_LIPS, INNER_LIPS)
DENSITY_REGION_NAMES = ("jaw", "brows", "nose", "eyes", "outer lips", "inner lips")

# Neighbouring points whose affine motion says where the face around them moves.
MOTION_REGIONS = (
    range(0, 6),
    range(5, 12),
    range(11, 17),  # jaw side, chin, jaw side
    range(17, 22),
    range(22, 27),  # brows
    range(27, 36),  # nose
    LEFT_EYE,
    RIGHT_EYE,
    (48, 49, 50, 51, 52, 53, 54, 60, 61, 62, 63, 64),  # upper lip
    (48, 54, 55, 56, 57, 58, 59, 60, 64, 65, 66, 67),  # lower lip
    (61, 62, 63),
    (65, 66, 67),  # the inner edges of both lips
    (48, 60),
    (54, 64),  # mouth corners
)

# MIRROR[i] is the point that stands at point i's place once the picture is flipped left to right.
MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    27,
    28,
    29,
    30,
    35,
    34,
    33,
    32,
    31,
    45,
    44,
    43,
    42,
    47,
    46,
    39,
    38,
    37,
    36,
    41,
    40,
    54,
    53,
    52,
    51,
    50,
    49,
    48,
    59,
    58,
    57,
    56,
    55,
    64,
    63,
    62,
    61,
    60,
    67,
    66,
    65,
)
