"""What a release is made of: the changelog, its notes, and how to cite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from datetime import date

import pytest
from packaging.version import Version

from tests.data import ROOT

yaml = pytest.importorskip("yaml")

CHANGELOG = ROOT / "CHANGELOG.md"
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed"}
SAMPLE = """\
# Changelog

## [Unreleased]

### Added

- Nothing that is out.

## [1.10.0] - 2026-02-01

### Fixed

- A thing, see [1.1.0].

## [1.1.0] - 2026-01-01

### Added

- The first thing.

## [1.0.0] - 2025-12-01

"""


def headings():
    return re.findall(r"^## (.+)$", CHANGELOG.read_text("utf-8"), re.M)


def released():
    """Version -> date of the changelog's sections, newest first."""
    found = {}
    for heading in headings()[1:]:
        version, day = re.fullmatch(
            r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading
        ).groups()
        found[Version(version)] = date.fromisoformat(day)
    return found


def test_changelog_has_a_section_a_version_the_newest_first():
    assert headings()[0] == "[Unreleased]"
    versions = list(released())
    assert versions == sorted(versions, reverse=True)
    assert list(released().values()) == sorted(released().values(), reverse=True)


def test_changelog_has_the_usual_kinds_of_changes():
    text = CHANGELOG.read_text("utf-8")
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= KINDS
    for section in re.split(r"^## .+$", text, flags=re.M)[1:]:
        kinds = re.findall(r"^### (.+)$", section, re.M)
        assert len(kinds) == len(set(kinds))
        above, *_ = section.split("### ")
        assert not above.strip(), "a change stands under no heading"


def test_where_there_is_no_git_the_version_is_that_of_the_next_release():
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    assert settings["project"]["dynamic"] == ["version"]
    fallback = Version(settings["tool"]["setuptools_scm"]["fallback_version"])
    assert fallback.dev == 0
    assert all(fallback > version for version in released())


def notes(folder, tag):
    """Run the step of the workflow that writes the notes of a release."""
    path = ROOT / ".github" / "workflows" / "release.yml"
    if not path.exists():
        pytest.skip("a source distribution has no workflows")
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    (step,) = (step for step in jobs["build"]["steps"] if step.get("id") == "notes")
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=os.environ | {"GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("v1.10.0", "\n### Fixed\n\n- A thing, see [1.1.0].\n\n"),
        ("v1.1.0", "\n### Added\n\n- The first thing.\n\n"),
        ("v1.1.0rc2", "\n### Added\n\n- The first thing.\n\n"),
        ("v1.0.0", None),  # a section without a word
        ("v1.1", None),
        ("v2.0.0", None),
    ],
)
def test_notes_are_the_section_of_the_version(tmp_path, tag, expected):
    (tmp_path / "CHANGELOG.md").write_text(SAMPLE)
    done = notes(tmp_path, tag)
    if expected is None:
        assert done.returncode == 1
        assert f"has no section of {tag[1:]}" in done.stdout
    else:
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "notes.md").read_text() == expected


def test_releasing_names_commands_that_there_are():
    page = (ROOT / "docs" / "releasing.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    asked = {name for line in re.findall(r"^ *make (.+)$", page, re.M) for name in line.split()}
    assert asked
    assert asked <= set(re.findall(r"^([\w-]+):", makefile, re.M))


def test_citation():
    """The paper under both titles; the version is left to git's tags."""
    path = ROOT / "CITATION.cff"
    cited = yaml.safe_load(path.read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited.keys() >= {"message", "title", "authors", "license"}
    assert not cited.keys() & {"version", "date-released", "commit"}
    preferred = cited["preferred-citation"]
    assert preferred["title"] == "Enhancing Prediction Performance through Influence Measure"
    titles = [reference["title"] for reference in cited["references"]]
    assert titles == [
        preferred["title"],
        "Enhancing Training Robustness through Influence Measure",
    ]
    for work in [preferred, *cited["references"]]:
        assert len(work["authors"]) == 6
        assert work["authors"][0] == {"given-names": "Shuguang", "family-names": "Yu"}
