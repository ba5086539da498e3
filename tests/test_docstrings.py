"""Docstrings of all public names: what numpydoc checks, and our own rules beside.

One that leaves out a parameter, an error or the shape of an array is found here, not by
whoever reads it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re

import pytest
from sklearn.utils._metadata_requests import RequestMethod

import skfi
import skfi.integrations

numpydoc_validate = pytest.importorskip("numpydoc.validate")

# Checks of numpydoc's that are not ours.
IGNORED = {
    "ES01": "a summary that says all needs no second paragraph",
    "EX01": "methods have theirs in the class; for functions and classes there is a test below",
    "RT02": "what is returned has a name, also where it is one thing alone",
    "SA01": "a See Also only where something is related",
    "SS05": "a summary may be a noun, and end in s",
}
MODULES = [
    "skfi",
    "skfi.influence",
    "skfi.baselines",
    "skfi.queries",
    "skfi.bridge",
    "skfi.datasets",
    "skfi.inspection",
    "skfi.outofcore",
    "skfi.passes",
    "skfi.review",
    *(
        f"skfi.integrations.{m.name}"
        for m in pkgutil.iter_modules(skfi.integrations.__path__)
        if not m.name.startswith("_")
    ),
]
# Not from a paper: the order that all others have to beat, and the contract.
OF_NO_PAPER = {"skfi.baselines.random", "skfi.queries.Random", "skfi.queries.QueryStrategy"}
# What functions return beside or instead of scores: they refuse nothing, and need no example.
RESULTS = {
    "skfi.influence.InfluenceDetails",
    "skfi.outofcore.TrimResult",
    "skfi.passes.Scorer",
    "skfi.passes.Totals",
}


def public_names():
    """Import path -> function or class; each once, by the first module that has it."""
    found = {}
    for path in MODULES:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as missing:
            if missing.name.partition(".")[0] == "skfi":
                raise
            continue  # made for a package that is not there
        for name in module.__all__:
            if all(getattr(module, name) is not seen for seen in found.values()):
                found[f"{path}.{name}"] = getattr(module, name)
    return found


def own_members(kind):
    """Public methods and properties that a class has from skfi."""
    fields = (
        {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else ()
    )
    for name in dir(kind):
        owner = next((base for base in kind.__mro__ if name in vars(base)), object)
        if name.startswith("_") or name in fields or owner.__module__.split(".")[0] != "skfi":
            continue
        member = vars(owner)[name]
        if isinstance(member, RequestMethod):  # scikit-learn writes it, docstring and all
            continue
        if isinstance(member, property) or callable(getattr(kind, name)):
            yield name, member


def members(names):
    """Import paths of methods and properties; an inherited one once."""
    found = {}
    for path, kind in names.items():
        if inspect.isclass(kind):
            for name, member in own_members(kind):
                found.setdefault(member, f"{path}.{name}")
    return sorted(found.values())


NAMES = public_names()
MEMBERS = members(NAMES)


def sections(path):
    return numpydoc_validate.Validator(
        numpydoc_validate.get_doc_object(numpydoc_validate.Validator._load_obj(path))
    ).doc


def test_something_is_checked():
    assert {"skfi.fi_util", "skfi.queries.BALD", "skfi.inspection.QueryDisplay"} <= set(NAMES)
    assert {"skfi.FITrimmer.predict", "skfi.bridge.Bridge.linear"} <= set(MEMBERS)
    assert "skfi.FITrimmer.set_fit_request" not in MEMBERS
    assert len(NAMES) > 50
    assert len(MEMBERS) > 30


@pytest.mark.parametrize("path", [*NAMES, *MEMBERS])
def test_numpydoc(path):
    ignored = set(IGNORED)
    found = NAMES.get(path)
    if dataclasses.is_dataclass(found) and not sections(path)["Parameters"]:
        # A result, which nobody makes by hand: its fields are its attributes.
        ignored.add("PR01")
        told = [attribute.name for attribute in sections(path)["Attributes"]]
        assert told == [field.name for field in dataclasses.fields(found)]
    errors = numpydoc_validate.validate(path)["errors"]
    assert [error for error in errors if error[0] not in ignored] == []


@pytest.mark.parametrize("path", [*NAMES, *MEMBERS])
def test_arrays_have_a_shape(path):
    doc = sections(path)
    for section in ("Parameters", "Attributes", "Returns"):
        for entry in doc[section]:
            if re.search("array|matrix|DataFrame of|Series of", entry.type):
                assert "shape" in entry.type, f"{section}: {entry.name} : {entry.type}"


@pytest.mark.parametrize("path", sorted(NAMES.keys() - RESULTS))
def test_has_an_example_that_runs(path):
    assert any(line.lstrip().startswith(">>>") for line in sections(path)["Examples"])


@pytest.mark.parametrize("path", sorted(NAMES.keys() - RESULTS))
def test_says_what_it_refuses(path):
    """A class does so in its own docstring, or in that of what takes its data."""
    found = NAMES[path]
    documented = [found]
    if hasattr(found, "fit"):
        documented.append(found.fit)
    elif inspect.isclass(found):
        documented += [getattr(found, name) for name, _ in own_members(found)]
        documented.append(found.__call__)
    docs = [thing.__doc__ or "" for thing in documented]
    assert any(re.search(r"\n *Raises\n *------\n", doc) for doc in docs)


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for path in NAMES.keys() - OF_NO_PAPER
        if path.startswith(("skfi.baselines.", "skfi.queries.", "skfi.fi_"))
    ),
)
def test_names_its_source(path):
    assert sections(path)["References"]
