"""How the documents are built: ``make docs``, warnings are errors.

Pages are Markdown, so that they read well in the repository too; what they link to there
(the studies, the README) is looked up by `_ext/repository_links.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import skfi  # noqa: E402

project = "skfi"
author = "The skfi developers"
copyright = "the skfi developers, BSD 3-clause licence"
release = skfi.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",  # formulas need no network
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "inherited_docstrings",
    "repository_links",
    "check_links",
    "internals",
    "overview",
]
exclude_patterns = ["_build", "reproduction/results/**", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["skfi.css"]

# Pages
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
copybutton_exclude = ".linenos, .gp, .go"

# API
smartquotes = False  # a default is "this"
toc_object_entries_show_parents = "hide"
default_role = "autolink"  # `name` in a docstring is a link where it names something
autosummary_generate = True
# A function and a class whose files would be one where case does not count.
autosummary_filename_map = {"skfi.bridge.bridge": "skfi.bridge.bridge-function"}
autodoc_default_options = {"members": False, "inherited-members": False}
autodoc_typehints = "none"  # numpydoc's sections say it
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Gallery
sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery"],
    "gallery_dirs": ["auto_examples"],
    "subsection_order": [
        "../examples/gallery/quick_start",
        "../examples/gallery/advanced",
        "../examples/gallery/paper",
    ],
    "within_subsection_order": "gallery_order.ReadingOrder",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "backreferences_dir": "api/backreferences",
    "doc_module": ("skfi",),
    "reference_url": {"skfi": None},
    "reset_modules": ("matplotlib", "gallery_reset.warnings_as_errors"),
    "reset_modules_order": "both",
    "image_scrapers": ("matplotlib",),
    "image_srcset": ["2x"],
    "show_memory": False,
    "write_computation_times": False,  # its page wants a network
    "min_reported_time": 5,
    "show_signature": False,
    "remove_config_comments": True,
    "plot_gallery": os.environ.get("SKFI_DOCS_GALLERY", "1") == "1",
}

# Theme
html_theme = "pydata_sphinx_theme"
html_title = "skfi"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "logo": {"text": "skfi"},
    "header_links_before_dropdown": 6,
}
# Without the navigation at the side where there is none, or tables need the width.
WIDE = ("index", "getting-started", "changelog", "reproduction", "overview")
html_sidebars = {page: [] for page in WIDE}
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
