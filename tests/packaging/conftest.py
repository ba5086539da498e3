"""What is built and installed once, for all tests here."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from tests.packaging.installing import build, copy_sources, git, install

VERSION = "1.2.3"


def pytest_collection_modifyitems(items):
    """Where tests run side by side, those that share what is built here stay together."""
    for item in items:
        if item.path.parent.name == "packaging":
            item.add_marker(pytest.mark.xdist_group("packaging"))


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """The working tree as a clone of its own, with the tag of a release."""
    for module in ("build.env", "setuptools_scm"):
        pytest.importorskip(module)
    if shutil.which("git") is None:
        pytest.skip("versions are those of git tags, and there is no git")
    folder = tmp_path_factory.mktemp("sources") / "skfi"
    folder.mkdir()
    copy_sources(folder)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A release")
    git(folder, "tag", f"v{VERSION}")
    return folder


@pytest.fixture(scope="session")
def built(tree, tmp_path_factory):
    """Source distribution, the wheel that is built of it, and that of the tree."""
    folder = tmp_path_factory.mktemp("built")
    build(tree, folder / "both")
    build(tree, folder / "tree", "--wheel")
    (sdist,) = (folder / "both").glob("*.tar.gz")
    (wheel,) = (folder / "both").glob("*.whl")
    (of_tree,) = (folder / "tree").glob("*.whl")
    return SimpleNamespace(sdist=sdist, wheel=wheel, of_tree=of_tree, version=VERSION)


@pytest.fixture(scope="session")
def plain(built, tmp_path_factory):
    """An environment with skfi and without any extra."""
    made = install(built.wheel, tmp_path_factory.mktemp("plain") / "venv")
    yield made
    made.close()


@pytest.fixture(scope="session")
def full(built, tmp_path_factory):
    """An environment with skfi and all extras that are installed where the tests run."""
    made = install(built.wheel, tmp_path_factory.mktemp("full") / "venv", ("all",))
    yield made
    made.close()
