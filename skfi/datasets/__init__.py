"""Data to try trimming and querying on: the paper's own sets, toy sets, and noise for both.

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

The paper's data sets are read from a folder, or fetched into one. They come raw, or as
Chhabra et al. (2024) prepare them, whose numbers the paper stands beside.

=========================  ===============================================================
fetcher                    gives
=========================  ===============================================================
`fetch_adult`              Adult: census income, 48,842 rows
`fetch_bank`               Bank marketing, 41,188 rows
`fetch_celeba_attributes`  CelebA: 40 attributes of 202,599 faces
`fetch_jigsaw_embeddings`  Jigsaw: comments, toxic or not, as sentence embeddings
`fetch_mnist`              MNIST: ten digits, 70,000 images
`fetch_emnist_letters`     EMNIST's letters, 26 classes
`fetch_cifar10`            CIFAR-10: ten classes of colour images
=========================  ===============================================================
"""

from ._celeba import fetch_celeba_attributes
from ._generators import (
    make_crescents,
    make_redundant,
    make_repeated,
    make_two_gaussians,
    make_unbalanced,
)
from ._images import fetch_cifar10, fetch_emnist_letters, fetch_mnist
from ._noise import add_feature_noise, flip_columns, flip_labels
from ._tabular import fetch_adult, fetch_bank
from ._text import fetch_jigsaw_embeddings

__all__ = [
    "add_feature_noise",
    "fetch_adult",
    "fetch_bank",
    "fetch_celeba_attributes",
    "fetch_cifar10",
    "fetch_emnist_letters",
    "fetch_jigsaw_embeddings",
    "fetch_mnist",
    "flip_columns",
    "flip_labels",
    "make_crescents",
    "make_redundant",
    "make_repeated",
    "make_two_gaussians",
    "make_unbalanced",
]
