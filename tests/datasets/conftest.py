"""Fetchers are tested without the web and without the folders of whoever runs the tests."""

from __future__ import annotations

import urllib.error

import pytest

from skfi.datasets import _home


@pytest.fixture(autouse=True)
def data_homes(tmp_path_factory, monkeypatch):
    """No SKFI_DATA, and an empty data home of scikit-learn; gives that data home."""
    home = tmp_path_factory.mktemp("home") / "scikit_learn_data"
    monkeypatch.delenv("SKFI_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home))
    return home


@pytest.fixture(autouse=True)
def requests(monkeypatch):
    """No network; gives the addresses that were asked for."""
    asked = []

    def refuse(request, timeout):
        asked.append(request.full_url)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(_home, "urlopen", refuse)
    return asked


@pytest.fixture
def web(monkeypatch):
    """A web whose answers are bytes by address; gives the dict of them."""
    pages = {}

    class Answer:
        def __init__(self, content):
            self.content = content
            self.headers = {"Content-Length": str(len(content))}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, size):
            part, self.content = self.content[:size], self.content[size:]
            return part

    monkeypatch.setattr(
        _home, "urlopen", lambda request, timeout: Answer(pages[request.full_url])
    )
    return pages
