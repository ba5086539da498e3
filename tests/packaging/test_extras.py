"""One wording for what is missing, and a table that knows every optional package."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

import numpy as np
import pytest
from packaging.requirements import Requirement
from sklearn.neural_network import MLPClassifier

from skfi import fi_util
from skfi._utils._extras import EXTRAS, missing, require
from tests.data import ROOT, make_split

# Name of import -> name of the distribution, where they differ.
DISTRIBUTIONS = {"skactiveml": "scikit-activeml"}
NEEDED = {"joblib", "numpy", "scipy", "sklearn", "threadpoolctl"}
# Used where they are there, without a word where they are not; each has tests of its own.
SILENT = {"PIL", "cleanlab", "rich", "tqdm"}
# Come with another that was asked for before.
BESIDE = {"markupsafe"}


def imported():
    """Packages that skfi imports somewhere, other than its own and Python's."""
    found = set()
    for path in (ROOT / "skfi").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"skfi"}


def extras():
    """Extra -> names of what it brings, with what it takes from others."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        given = tomllib.load(file)["project"]["optional-dependencies"]

    def brought(extra):
        names = set()
        for requirement in map(Requirement, given[extra]):
            if requirement.name == "skfi":
                names.update(*(brought(other) for other in requirement.extras))
            else:
                names.add(requirement.name.lower())
        return names

    return {extra: brought(extra) for extra in given}


def test_every_package_that_is_imported_is_known():
    found = imported()
    assert not found - (NEEDED | EXTRAS.keys() | SILENT | BESIDE)
    assert not (NEEDED | EXTRAS.keys()) - found


@pytest.mark.parametrize("package", EXTRAS)
def test_the_extra_that_is_named_brings_the_package(package):
    _, extra = EXTRAS[package]
    assert DISTRIBUTIONS.get(package, package) in extras()[extra]


def test_all_is_all_that_users_need():
    of_all = extras()["all"]
    for extra, names in extras().items():
        if extra not in ("test", "dev", "docs", "browser", "paper"):
            assert names <= of_all, extra


def test_the_command_line_has_what_its_commands_need():
    assert {"pandas", "pyarrow", "jinja2", "matplotlib", "skrub"} <= extras()["cli"]


def texts(path):
    """Strings of a module, without those that document it."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = [
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, documented)
    ]
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [text for text in strings if isinstance(text, str) and text not in docs]


def test_no_refusal_has_words_of_its_own():
    saying = {
        path.name
        for path in (ROOT / "skfi").rglob("*.py")
        for text in texts(path)
        if re.search(r"\bskfi\[|pip install", text)
    }
    assert saying == {"_extras.py"}


def test_message():
    assert missing("pandas", "report()") == (
        'report() needs pandas, which is not installed: pip install "skfi[pandas]"'
    )
    assert missing("pandas", "A command", extra="cli", otherwise="Use numpy.") == (
        'A command needs pandas, which is not installed: pip install "skfi[cli]". Use numpy.'
    )


def test_what_is_there_is_given():
    assert require("sklearn.base", "A test") is sys.modules["sklearn.base"]


def test_a_package_that_fails_in_itself_says_so(tmp_path, monkeypatch):
    (tmp_path / "jinja2").mkdir()
    (tmp_path / "jinja2" / "__init__.py").write_text("import a_package_that_is_nowhere")
    (tmp_path / "skorch.py").write_text("raise ImportError('wrong version of torch')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("jinja2", "skorch"):
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
    with pytest.raises(
        ModuleNotFoundError, match=r"^No module named 'a_package_that_is_nowhere'"
    ):
        require("jinja2", "to_html()")
    with pytest.raises(ImportError, match=r"^wrong version of torch$"):
        require("skorch", "SkorchClassifier")


@pytest.mark.parametrize("curvature", ["ekfac", "cg"])
def test_curvatures_without_curvlinops(monkeypatch, curvature):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    X, y, X_val, y_val, _ = make_split()
    model = MLPClassifier((2,), solver="lbfgs", tol=1.0, random_state=0).fit(X, y)
    fi = fi_util(model, X, y, X_val, y_val, params="all", curvature=curvature)
    assert np.isfinite(fi).all()
