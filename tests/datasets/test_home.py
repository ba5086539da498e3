"""Folders, downloads and broken files: nothing half is kept, and errors say what to do."""

from __future__ import annotations

import hashlib
import http.server
import threading
import urllib.request
from pathlib import Path

import pytest

from skfi.datasets import _home
from skfi.datasets._home import (
    DataFolder,
    Remote,
    Source,
    describe,
    download,
    naming,
    obtain,
)

CONTENT = bytes(range(256)) * 40


def remote_of(url, content=CONTENT, name="letters.bin"):
    return Remote(name, url, hashlib.sha256(content).hexdigest())


def read_bytes(paths):
    return [path.read_bytes() for path in paths]


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class Server(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT; cut off, or after two failures, or not at all."""

    tries = 0

    def do_GET(self):
        kind = self.path.rpartition("/")[2]
        type(self).tries += 1
        if kind == "gone" or (kind == "flaky" and self.tries < 3):
            self.send_error(404 if kind == "gone" else 503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:300] if kind == "cut" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(_home, "urlopen", urllib.request.urlopen)
    monkeypatch.setattr(Server, "tries", 0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_download_keeps_the_whole_file(server, tmp_path):
    path = tmp_path / "letters.bin"
    download(remote_of(f"{server}/whole"), path)
    assert path.read_bytes() == CONTENT
    assert files_in(tmp_path) == ["letters.bin"]
    assert Server.tries == 1


def test_download_tries_again(server, tmp_path):
    path = tmp_path / "letters.bin"
    with pytest.warns(UserWarning, match="Retry downloading") as record:
        download(remote_of(f"{server}/flaky"), path, n_retries=2, delay=0.0)
    assert len(record) == 2
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "told"),
    [("cut", "300 of 10240 bytes"), ("gone", "404"), ("flaky", "503")],
)
def test_failed_download_leaves_nothing(server, tmp_path, kind, told):
    url = f"{server}/{kind}"
    with pytest.raises(OSError, match=told) as caught:
        download(remote_of(url), tmp_path / "x", n_retries=0, advice="Put x there.")
    assert url in str(caught.value)
    assert str(caught.value).endswith("Put x there.")
    assert files_in(tmp_path) == []


def test_wrong_or_refused_file_is_not_asked_for_again(server, tmp_path):
    for kind, told in (("gone", "404"), ("whole", "SHA-256")):
        Server.tries = 0
        with pytest.raises(OSError, match=told):
            download(remote_of(f"{server}/{kind}", b"other"), tmp_path / "x", delay=0.0)
        assert Server.tries == 1


def test_wrong_checksum_names_both_and_keeps_what_was_there(server, tmp_path):
    path = tmp_path / "letters.bin"
    path.write_bytes(b"old")
    remote = remote_of(f"{server}/whole", b"other")
    with pytest.raises(OSError, match=r"letters\.bin has 10240 bytes") as caught:
        download(remote, path)
    assert remote.sha256 in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == ["letters.bin"]


def test_folder_by_argument_environment_and_default(tmp_path, monkeypatch, data_homes):
    assert DataFolder(None, "toy").home == data_homes / "skfi"
    monkeypatch.setenv("SKFI_DATA", str(tmp_path / "env"))
    assert DataFolder(None, "toy").home == tmp_path / "env"
    assert DataFolder(tmp_path / "arg", "toy").home == tmp_path / "arg"
    assert DataFolder("~/data", "toy").home == Path("~/data").expanduser()


def test_files_are_found_in_the_folder_and_its_subfolder(tmp_path):
    folder = DataFolder(tmp_path, "toy")
    (tmp_path / "toy").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    assert folder.find(["a", "b"]) is None
    (tmp_path / "toy" / "b").write_bytes(b"2")
    assert folder.find(["a", "b"]) == [tmp_path / "a", tmp_path / "toy" / "b"]
    assert folder.path("c") == tmp_path / "toy" / "c"


def test_read_only_folder_is_left_alone(tmp_path, web, data_homes):
    """Files there are read; what is fetched goes to scikit-learn's data home."""
    web["https://toy"] = CONTENT
    source = Source(("letters.bin",), read_bytes)
    (tmp_path / "small.bin").write_bytes(b"small")
    tmp_path.chmod(0o555)
    try:
        folder = DataFolder(tmp_path, "toy")
        small = Source(("small.bin",), read_bytes)
        assert obtain(folder, [source, small])[0] == [b"small"]
        assert not data_homes.exists()
        _, paths = obtain(folder, [source], [remote_of("https://toy")])
        assert paths == [data_homes / "skfi" / "toy" / "letters.bin"]
        web.clear()
        assert obtain(folder, [source]) == ([CONTENT], paths)
        assert files_in(tmp_path) == ["small.bin"]
    finally:
        tmp_path.chmod(0o755)


def test_what_was_fetched_is_read_again_without_the_web(tmp_path, web):
    web.update({"https://one": CONTENT, "https://two": b"2"})
    remotes = [remote_of("https://one", name="1"), remote_of("https://two", b"2", "2")]
    source = Source(("1", "2"), read_bytes)
    first, paths = obtain(DataFolder(tmp_path, "toy"), [source], remotes)
    web.clear()
    assert obtain(DataFolder(tmp_path, "toy"), [source], remotes) == (first, paths)
    assert first == [CONTENT, b"2"]
    paths[1].unlink()
    web["https://two"] = b"2"
    assert obtain(DataFolder(tmp_path, "toy"), [source], remotes)[0] == first


def test_sources_are_taken_in_order(tmp_path):
    folder = DataFolder(tmp_path, "toy")
    sources = [Source((name,), lambda paths: paths[0].name) for name in ("raw", "ready")]
    (tmp_path / "ready").write_bytes(b"")
    assert obtain(folder, sources)[0] == "ready"
    (tmp_path / "raw").write_bytes(b"")
    assert obtain(folder, sources)[0] == "raw"


def test_without_the_web_the_way_out_is_told(tmp_path, requests):
    folder = DataFolder(tmp_path / "data", "toy")
    source, remotes = Source(("letters.bin",), read_bytes), [remote_of("https://toy/letters")]
    with (
        pytest.warns(UserWarning, match="Retry"),
        pytest.raises(OSError, match="https://toy/letters") as caught,
    ):
        obtain(folder, [source], remotes, n_retries=1, delay=0.0)
    for told in (f"Put letters.bin into {tmp_path / 'data'}", "data_home", "SKFI_DATA"):
        assert told in str(caught.value)
    assert len(requests) == 2
    assert files_in(tmp_path) == []


def test_without_leave_nothing_is_fetched(tmp_path, requests):
    folder, source = DataFolder(tmp_path / "data", "toy"), Source(("a", "b"), read_bytes)
    with pytest.raises(FileNotFoundError, match=r"download_if_missing is False\. Put a and b"):
        obtain(folder, [source], [remote_of("https://toy")], download_if_missing=False)
    with pytest.raises(FileNotFoundError, match=r"An account is needed\. Put a and b into"):
        obtain(folder, [source], why_not="An account is needed.")
    assert requests == []
    assert not (tmp_path / "data").exists()


def test_naming_names_the_file_but_not_what_the_system_says(tmp_path):
    def read(paths):
        raise EOFError

    (tmp_path / "x.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x\.npz cannot be read: EOFError\..*cut off"):
        obtain(DataFolder(tmp_path, "toy"), [Source(("x.npz",), read)])
    with pytest.raises(FileNotFoundError), naming([tmp_path / "x.npz"]):
        (tmp_path / "none").read_bytes()


@pytest.mark.parametrize(
    "dataset",
    ["adult", "bank", "celeba_attributes", "cifar10", "emnist_letters", "jigsaw", "mnist"],
)
def test_descriptions_say_home_and_licence(dataset):
    text = describe(dataset, [Path("folder/a.npz"), Path("b.npz")], "", "A remark.")
    assert ":Home: http" in text
    assert ":Licence: " in text
    assert text.endswith("**Read from** a.npz and b.npz.\n\nA remark.\n")
