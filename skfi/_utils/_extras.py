"""Packages that skfi can do without, and one wording for where one is missing.

Importing skfi loads none of them. What needs one asks for it here first, so that every
refusal names the package, what it is needed for, and the line that installs it. Progress
bars (tqdm) and cleanlab's scores are not asked for: without them the result is the same.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._warning_scopes import ignored

# Name of import -> what is installed, and the extra that brings it.
EXTRAS = {
    "dask": ("dask", "dask"),
    "jinja2": ("jinja2", "report"),
    "matplotlib": ("matplotlib", "plot"),
    "pandas": ("pandas", "pandas"),
    "pyarrow": ("pyarrow", "pandas"),
    "skrub": ("skrub", "cli"),
    "skactiveml": ("scikit-activeml 1.0 or newer", "activeml"),
    "skorch": ("skorch", "torch"),
    "torch": ("torch", "torch"),
}


def require(module: str, user: str, *, extra: str | None = None, otherwise: str = "") -> Any:
    """Import a package of an extra, or say how it is installed.

    Parameters
    ----------
    module : str
        Name of import, which may be that of a submodule.
    user : str
        What needs it, as the first words of a sentence.
    extra : str, default=None
        The extra to name; None is the smallest one that brings the package.
    otherwise : str, default=""
        A sentence on what can be done without.

    Returns
    -------
    module : module
        What was asked for.

    Raises
    ------
    ImportError
        The package is not installed. One that is there and fails in itself raises its own
        error.
    """
    package = module.partition(".")[0]
    try:
        # Optional packages may use torch.jit, which torch 2.15 deprecates, while they load.
        with ignored(FutureWarning, r".*torch\.jit"):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise ImportError(missing(package, user, extra=extra, otherwise=otherwise)) from error


def missing(package: str, user: str, *, extra: str | None = None, otherwise: str = "") -> str:
    """What to say where a package is not installed; arguments as for `require`."""
    name, own = EXTRAS[package]
    line = f'{user} needs {name}, which is not installed: pip install "skfi[{extra or own}]"'
    return f"{line}. {otherwise}" if otherwise else line
