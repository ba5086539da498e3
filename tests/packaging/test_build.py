"""Wheel and source distribution: what is in them, and which version they have."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import PurePosixPath

import pytest

import skfi
from tests.data import ROOT
from tests.packaging.installing import build, copy_sources, git, output

# Bytes; a result or a data set among the sources would be more.
MOST = 1_000_000


def wheel_files(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sdist_files(path):
    with tarfile.open(path) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {
            PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix(): member.size
            for member in files
        }


def metadata_of(files):
    (name,) = (name for name in files if name.endswith(".dist-info/METADATA"))
    return message_from_string(files[name].decode())


@pytest.fixture(scope="module")
def wheel(built):
    return wheel_files(built.wheel)


@pytest.fixture(scope="module")
def sdist(built):
    return sdist_files(built.sdist)


def test_the_tree_and_the_source_distribution_give_the_same_wheel(built, wheel):
    assert wheel_files(built.of_tree) == wheel


def test_wheel_holds_the_package_whole_and_nothing_else(built, tree, wheel):
    in_package = {
        path.relative_to(tree).as_posix()
        for path in (tree / "skfi").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "skfi/py.typed" in in_package
    assert "skfi/_version.py" in in_package
    assert {name for name in wheel if name.startswith("skfi/")} == in_package
    others = {name.split("/")[0] for name in wheel} - {"skfi"}
    assert others == {f"skfi-{built.version}.dist-info"}


def test_metadata(built, wheel):
    metadata = metadata_of(wheel)
    assert (metadata["Name"], metadata["Version"]) == ("skfi", built.version)
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    needed = {
        re.split(r"[^\w-]", text)[0]
        for text in metadata.get_all("Requires-Dist")
        if "extra ==" not in text
    }
    assert needed == {"numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl"}
    assert {"all", "torch", "plot", "pandas", "cli"} <= set(metadata.get_all("Provides-Extra"))
    assert metadata.get_payload() == (ROOT / "README.md").read_text("utf-8")


def test_source_distribution_builds_and_tests_the_package(built, sdist, wheel):
    for needed in (
        *("pyproject.toml", "setup.cfg", "conftest.py", "README.md", "LICENSE", "CITATION.cff"),
        *("tests/conftest.py", "tests/packaging/installing.py", "docs/guide.md"),
        *("CHANGELOG.md", "examples/demo.py", "constraints.txt", "Makefile"),
    ):
        assert needed in sdist
    assert {name for name in wheel if name.startswith("skfi/")} <= sdist.keys()


def test_source_distribution_is_small(built, sdist):
    tops = {name.split("/")[0] for name in sdist}
    assert not tops & {"benchmarks", "paper-output", "demo-output", ".github", ".ci"}
    assert not [name for name in sdist if name.startswith("docs/reproduction")]
    assert {PurePosixPath(name).suffix for name in sdist} <= {
        *("", ".py", ".md", ".toml", ".cfg", ".txt", ".in", ".cff", ".json"),
        *(".typed", ".rst", ".css", ".js", ".jinja"),
    }
    assert built.sdist.stat().st_size < MOST
    assert built.wheel.stat().st_size < MOST
    assert max(sdist.values()) < MOST / 5


@pytest.mark.slow
def test_tests_of_the_source_distribution_find_what_they_import(built, tmp_path):
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    options = ("--collect-only", "--quiet", "-p", "no:cacheprovider")
    assert "tests collected" in output(
        *(sys.executable, "-m", "pytest", *options, "tests"), cwd=folder
    )


def test_a_build_leaves_nothing_that_git_sees(tree, built):
    """Or the next build's version would be that of changed sources."""
    assert (tree / "skfi" / "_version.py").exists()
    assert git(tree, "status", "--porcelain") == ""


def test_without_git(built, sdist, wheel, tmp_path):
    """The files are the same, and the version is that of the release to come."""
    tree = tmp_path / "tree"
    tree.mkdir()
    copy_sources(tree)
    build(tree, tmp_path / "built")
    (path,) = (tmp_path / "built").glob("*.whl")
    files = wheel_files(path)
    version = metadata_of(files)["Version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev0", version)
    assert f'__version__ = "{version}"' in files["skfi/_version.py"].decode()
    assert {name.replace(version, built.version) for name in files} == wheel.keys()
    (path,) = (tmp_path / "built").glob("*.tar.gz")
    records = {name for name in sdist if name.startswith("skfi.egg-info/scm_")}
    assert sdist_files(path).keys() == sdist.keys() - records


def version_of(tree):
    return output(sys.executable, "-m", "setuptools_scm", cwd=tree).strip()


def test_versions_are_those_of_tags(tmp_path):
    pytest.importorskip("setuptools_scm")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())

    def commit():
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "Something")

    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    commit()
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev1\+g[0-9a-f]+", version_of(tmp_path))  # no tag yet
    git(tmp_path, "tag", "v2.0.0")
    assert version_of(tmp_path) == "2.0.0"
    commit()
    assert re.fullmatch(r"2\.0\.1\.dev1\+g[0-9a-f]+", version_of(tmp_path))
    git(tmp_path, "tag", "v2.1.0rc1")
    assert version_of(tmp_path) == "2.1.0rc1"


def test_this_installation_says_its_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?\w+)*(\+[\w.]+)?|0\+unknown", skfi.__version__)


def test_a_tree_that_was_never_built_says_so(tmp_path):
    copy_sources(tmp_path)
    assert not (tmp_path / "skfi" / "_version.py").exists()
    # An editable install would find the file in the tree that it was made from.
    code = """
import sys
sys.meta_path = [f for f in sys.meta_path if not f.__module__.startswith("__editable__")]
import skfi
print("skfi", skfi.__version__)
"""
    done = output(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done == "skfi 0+unknown\n"
