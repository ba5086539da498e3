"""Builds skfi, and installs it with the packages it declares and no others.

An environment is made without a network: the wheel is installed, and what it declares is
linked from where the tests run. Whatever skfi imports and does not declare is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

# Warnings are errors here as in all tests; torch deprecates parts of itself. Python takes the
# message for the words themselves, where pytest takes it for a pattern.
STRICT = ("-W", "error", "-W", "ignore:`torch.jit:DeprecationWarning")


def environment(**more: str) -> dict[str, str]:
    """The process's environment without what leads Python, git or a build elsewhere."""
    ours = ("PYTHON", "PYTEST", "GIT_", "SETUPTOOLS_SCM_", "VCS_VERSIONING_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "MPLBACKEND": "Agg"}
    return kept | quiet | more


def told(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_sources(target: Path) -> None:
    """The sources without what is made of them, and without their history."""
    names = _seen_by_git()
    if names is not None:
        for name in names:
            if (ROOT / name).is_file():  # not one that was just deleted
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)
        return
    made = ("__pycache__", "*.egg-info", "PKG-INFO", "_version.py", "build", "dist")
    passed = shutil.ignore_patterns(*made, ".venv*", ".*_cache")
    shutil.copytree(ROOT, target, dirs_exist_ok=True, ignore=passed)


def _seen_by_git() -> list[str] | None:
    """Files that git tracks or would track; None where this tree is no clone."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return None
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode else [name for name in done.stdout.split("\0") if name]


def git(tree: Path, *command: str) -> str:
    """Run git as somebody, in a tree of its own."""
    return told(
        *("git", "-c", "user.name=skfi", "-c", "user.email=skfi@example.org", *command),
        cwd=tree,
    )


def build(source: Path, target: Path, *what: str) -> None:
    """Build in the environment of the tests, which has what ``[build-system]`` names."""
    command = ("-m", "build", "--no-isolation", *what, "--outdir", target, source)
    told(sys.executable, *command, cwd=target.parent)


@dataclass(frozen=True)
class Installed:
    """An environment in which skfi is installed."""

    folder: Path

    def _path(self, kind: str) -> Path:
        base = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path(kind, "venv", base))

    @property
    def site(self) -> Path:
        """Where its packages are."""
        return self._path("purelib")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self._path("scripts") / "python"

    @property
    def skfi(self) -> Path:
        """The command line."""
        return self._path("scripts") / "skfi"

    def run(self, code: str, cwd: Path) -> str:
        """What code prints; neither the working directory nor this tree is on its path."""
        return told(self.python, "-I", *STRICT, "-c", code, cwd=cwd)

    def has(self, module: str) -> bool:
        """Whether a package or module of that name is there."""
        return (self.site / module).exists() or (self.site / f"{module}.py").exists()


def install(wheel: Path, folder: Path, extras: tuple[str, ...] = ()) -> Installed:
    """An environment of the wheel and what it declares, as far as the tests have it.

    An extra's package that is not installed where the tests run is not there either; one
    that skfi cannot do without must be.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    made = Installed(folder)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", made.python)
    told(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    (own,) = metadata.distributions(name="skfi", path=[str(made.site)])
    for dependency in _declared(own, extras):
        _link(dependency, made.site)
    return made


def _declared(own: metadata.Distribution, extras: tuple[str, ...]):
    """Distributions that are declared, and those that these declare."""
    found = {}
    seen = set()
    todo = [*((own, extra, False) for extra in extras), (own, "", True)]
    while todo:  # from the end: what is needed comes before what an extra brings
        distribution, extra, needed = todo.pop()
        if (distribution.name, extra) in seen:
            continue
        seen.add((distribution.name, extra))
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            there = own if name == "skfi" else _distribution(name)
            if there is None:
                assert not needed, f"{name} is not installed"
                continue
            found[name] = there
            todo += [(there, asked, needed) for asked in ("", *requirement.extras)]
    return [there for name, there in found.items() if name != "skfi"]


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _link(distribution: metadata.Distribution, site: Path) -> None:
    tops = {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}
    assert tops, f"{distribution.name} does not list its files"
    for top in tops:
        if not (site / top).exists():  # a folder that several distributions share
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))
