"""Warnings are errors in the scripts of the gallery, too."""

from __future__ import annotations

import warnings

_filters: list = []


def warnings_as_errors(gallery_conf, fname, when):
    """Called by sphinx-gallery before and after each script."""
    if when == "after":
        warnings.filters[:] = _filters
        return
    _filters[:] = warnings.filters
    warnings.simplefilter("error")
    # torch deprecates parts of itself while it is imported and traced.
    warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
