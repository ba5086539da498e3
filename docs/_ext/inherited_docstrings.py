"""Docstrings that classes inherit from scikit-learn refer to pages of its own site.

They are shown here without those links, so that a build needs no network.
"""

from __future__ import annotations

import re

_LABELLED = re.compile(r":(?:ref|term):`([^`<]+?)\s*<[^`>]+>`", re.S)
_PLAIN = re.compile(r":(?:ref|term):`([^`]+)`")


def _without_links(app, what, name, obj, options, lines):
    owner = getattr(obj, "__module__", None) or ""
    # What `set_fit_request` and its like are made by has no name of its own.
    if owner.startswith("sklearn.") or name.endswith("_request"):
        text = _PLAIN.sub(r"\1", _LABELLED.sub(r"\1", "\n".join(lines)))
        lines[:] = text.split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", _without_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
