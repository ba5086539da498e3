"""Builds skfi, and installs it with the packages it declares and no others.

An environment is made without a network: the wheel is installed, and what it declares is
linked from where the tests run. Whatever skfi imports and does not declare is not there.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import running
from tests.data import ROOT
from tests.running import STRICT, Forks


def environment(**more: str) -> dict[str, str]:
    """The process's environment without what leads Python, git or a build elsewhere."""
    ours = ("PYTHON", "PYTEST", "GIT_", "SETUPTOOLS_SCM_", "VCS_VERSIONING_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "MPLBACKEND": "Agg"}
    return kept | quiet | more


def output(*command: str | Path, cwd: Path, **more: str) -> str:
    """What a command prints in that environment; it must succeed."""
    return running.output(*command, cwd=cwd, env=environment(**more))


def copy_sources(target: Path) -> None:
    """The sources without what is made of them, and without their history."""
    if shutil.which("git") is not None and (ROOT / ".git").exists():
        command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in output(*command, cwd=ROOT).split("\0"):
            if (ROOT / name).is_file():  # not one that was just deleted
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)
        return
    made = ("__pycache__", "*.egg-info", "PKG-INFO", "_version.py", "build", "dist")
    ignored = shutil.ignore_patterns(*made, ".venv*", ".*_cache")
    shutil.copytree(ROOT, target, dirs_exist_ok=True, ignore=ignored)


def git(tree: Path, *command: str) -> str:
    """Run git as somebody, in a tree of its own."""
    somebody = ("-c", "user.name=skfi", "-c", "user.email=skfi@example.org")
    return output("git", *somebody, *command, cwd=tree)


def build(source: Path, target: Path, *what: str) -> None:
    """Build in the environment of the tests, which has what ``[build-system]`` names."""
    command = ("-m", "build", "--no-isolation", *what, "--outdir", target, source)
    output(sys.executable, *command, cwd=target.parent)


class Installed:
    """An environment in which skfi is installed."""

    def __init__(self, folder: Path):
        def path(kind):
            base = {"base": str(folder), "platbase": str(folder)}
            return Path(sysconfig.get_path(kind, "venv", base))

        self.site, scripts = path("purelib"), path("scripts")
        self.python, self.skfi = scripts / "python", scripts / "skfi"
        self._forks = Forks(self.python, "-I", *STRICT, env=environment())
        # What code prints; neither the working directory nor this tree is on its path.
        self.run, self.close = self._forks.run, self._forks.close

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
    output(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    (own,) = metadata.distributions(name="skfi", path=[str(made.site)])
    for dependency in _declared(own, extras):
        _link(dependency, made.site)
    return made


def _declared(own: metadata.Distribution, extras: tuple[str, ...]):
    """Distributions that are declared, and those that these declare."""
    declared = {}
    done = set()
    todo = [*((own, extra, False) for extra in extras), (own, "", True)]
    while todo:  # from the end: what is needed comes before what an extra brings
        distribution, extra, needed = todo.pop()
        if (distribution.name, extra) in done:
            continue
        done.add((distribution.name, extra))
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            try:
                one = own if name == "skfi" else metadata.distribution(name)
            except metadata.PackageNotFoundError:
                assert not needed, f"{name} is not installed"
                continue
            declared[name] = one
            todo += [(one, further, needed) for further in ("", *requirement.extras)]
    return [one for name, one in declared.items() if name != "skfi"]


def _link(distribution: metadata.Distribution, site: Path) -> None:
    tops = {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}
    assert tops, f"{distribution.name} does not list its files"
    for top in tops:
        if not (site / top).exists():  # a folder that several distributions share
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))
