"""Workflows and forms: they can be read, ask for little, and call targets that exist."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.data import ROOT

yaml = pytest.importorskip("yaml")

FOLDER = ROOT / ".github"
if not FOLDER.exists():
    pytest.skip("a source distribution has no workflows", allow_module_level=True)
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
FORMS = sorted(
    set((FOLDER / "ISSUE_TEMPLATE").glob("*.yml")) - {FOLDER / "ISSUE_TEMPLATE/config.yml"}
)
NEEDED_RIGHTS = {
    ("nightly", "tell"): {"issues": "write"},
    ("release", "publish"): {"id-token": "write"},
    ("release", "announce"): {"contents": "write"},
}


class _Strict(yaml.SafeLoader):
    """YAML as it stands: ``on`` is a word, and a key that comes twice is an error."""


def _mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key comes twice: {keys}"
    return loader.construct_mapping(node, deep=True)


_Strict.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Strict.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf")
)
_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path):
    return yaml.load(path.read_text("utf-8"), _Strict)


def jobs():
    return [
        pytest.param(path.stem, name, job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in load(path)["jobs"].items()
    ]


def steps(job):
    return job.get("steps", [])


def test_there_are_those_that_are_promised():
    assert {path.stem for path in WORKFLOWS} == {"test", "nightly", "release"}
    assert {path.stem for path in FORMS} == {"bug_report", "feature_request", "wrong_score"}
    assert load(FOLDER / "workflows/test.yml")["on"].keys() >= {"push", "pull_request"}
    assert "schedule" in load(FOLDER / "workflows/nightly.yml")["on"]
    assert load(FOLDER / "workflows/release.yml")["on"] == {"push": {"tags": ["v*"]}}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_asks_for_reading_alone(path):
    assert load(path)["permissions"] == {"contents": "read"}
    text = path.read_text("utf-8")
    assert "secrets." not in text
    assert "://" not in text, "an index is named by a variable of the repository"


@pytest.mark.parametrize(("workflow", "name", "job"), jobs())
def test_a_job_has_no_more_rights_than_it_needs(workflow, name, job):
    assert job.get("permissions", {}) == NEEDED_RIGHTS.get((workflow, name), {})
    assert "uses" in job or job["timeout-minutes"] <= 120


@pytest.mark.parametrize(("workflow", "name", "job"), jobs())
def test_actions_are_pinned_by_their_major_version(workflow, name, job):
    used = [step["uses"] for step in steps(job) if "uses" in step]
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", action), action
    if "uses" in job:
        assert (ROOT / job["uses"]).is_file()
    for step in steps(job):
        if step.get("uses", "").startswith("actions/checkout@"):
            # Without tags the version is another; without credentials no step can push.
            assert step["with"] == {"fetch-depth": 0, "persist-credentials": False}


@pytest.mark.parametrize(("workflow", "name", "job"), jobs())
def test_scripts_can_be_read_and_take_no_text_from_outside(workflow, name, job):
    for step in steps(job):
        script = step.get("run", "")
        assert "${{" not in script, "pass it by the environment"
        if shutil.which("bash"):
            done = subprocess.run(
                ["bash", "-n", "-c", script], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr


def test_targets_of_make_exist():
    asked = {
        target
        for path in WORKFLOWS
        for job in load(path)["jobs"].values()
        for step in steps(job)
        for target in re.findall(r"^make ([\w-]+)", step.get("run", ""), re.M)
    }
    assert {"lint", "test", "test-oldest", "docs"} <= asked
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert asked <= set(re.findall(r"^([\w-]+):", makefile, re.M))


def test_what_the_oldest_packages_leave_out_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    (names,) = re.findall(r"^SAME = (.+)$", makefile, re.M)
    assert all((ROOT / "tests" / name).exists() for name in names.split())


def test_every_python_that_is_promised_is_tested():
    promised = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()
    )
    matrix = load(FOLDER / "workflows/test.yml")["jobs"]["newest"]["strategy"]["matrix"]
    assert matrix["python"] == promised


def test_nothing_is_published_before_the_tests_and_an_approval():
    publish = load(FOLDER / "workflows/release.yml")["jobs"]["publish"]
    assert set(publish["needs"]) == {"test", "build"}
    assert publish["environment"] == "release"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms(path):
    form = load(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(names) == len(set(names))
    assert all(field["attributes"]["label"] for field in fields)
    required = {field["id"] for field in fields if field.get("validations", {}).get("required")}
    if path.stem == "wrong_score":
        assert required == {"data", "model", "code", "seen", "versions"}
    if path.stem == "bug_report":
        assert {"code", "versions"} <= required


def test_the_rest_can_be_read():
    assert load(FOLDER / "ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": False}
    (update,) = load(FOLDER / "dependabot.yml")["updates"]
    assert update["package-ecosystem"] == "github-actions"
    assert "make test" in (FOLDER / "pull_request_template.md").read_text("utf-8")
