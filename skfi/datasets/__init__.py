"""Data to try trimming and querying on: toy sets, and noise for any data.

A planted error is known, so that a score can be asked whether it finds it. The makers of
noise say which rows they touched; all leave their input as it was.

====================  ====================================================================
maker                 gives
====================  ====================================================================
`make_two_gaussians`  two classes that a line separates, up to their overlap
`make_crescents`      two classes that no line separates
`flip_labels`         wrong labels: uniform, pairwise, by class, or near the boundary
`add_feature_noise`   Gaussian noise on a share of the rows
`flip_columns`        binary attributes turned round
`make_unbalanced`     classes of unequal size
`make_redundant`      a pool of which most rows are of no class that is asked for
`make_repeated`       a pool with near-duplicates
====================  ====================================================================
"""

from ._generators import (
    make_crescents,
    make_redundant,
    make_repeated,
    make_two_gaussians,
    make_unbalanced,
)
from ._noise import add_feature_noise, flip_columns, flip_labels

__all__ = [
    "add_feature_noise",
    "flip_columns",
    "flip_labels",
    "make_crescents",
    "make_redundant",
    "make_repeated",
    "make_two_gaussians",
    "make_unbalanced",
]
