"""The directive ``.. internals:: package``: the docstrings of a package's private modules.

Autosummary lists what is public; here every module and every function with a docstring is
shown, so that the mathematics is read where it is written.
"""

from __future__ import annotations

import importlib
import pkgutil

from sphinx.util.docutils import SphinxDirective


class Internals(SphinxDirective):
    required_arguments = 1

    def run(self):
        package = importlib.import_module(self.arguments[0])
        lines = []
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            name = f"{package.__name__}.{module.name}"
            lines += [
                f"{module.name}.py",
                "~" * (len(module.name) + 3),
                "",
                f".. automodule:: {name}",
                "   :members:",
                "   :private-members:",
                "   :member-order: bysource",
                "   :no-index:",
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app):
    app.add_directive("internals", Internals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
