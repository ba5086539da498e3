"""Image sets: tiny files in the formats of the real ones, whole and broken."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from skfi.datasets import _images, fetch_cifar10, fetch_emnist_letters, fetch_mnist

MNIST_NAMES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
FETCHERS = [fetch_mnist, fetch_emnist_letters, fetch_cifar10]


def idx(array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def arrays(n_train=6, n_test=4, first=0, last=9, seed=0):
    """Images and labels of both parts."""
    rng = np.random.default_rng(seed)
    parts = []
    for n in (n_train, n_test):
        parts.append(rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        parts.append(np.linspace(first, last, n).astype(np.uint8))
    return parts


def mnist_files():
    contents = [gzip.compress(idx(array)) for array in arrays()]
    return dict(zip(MNIST_NAMES, contents, strict=True))


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def letters_zip(parts, skip=()):
    buffer = io.BytesIO()
    names = [f"{name.replace('t10k', 'test')}" for name in MNIST_NAMES]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gzip/emnist-digits-train-labels-idx1-ubyte.gz", b"other")
        for name, array in zip(names, parts, strict=True):
            if name not in skip:
                member = f"gzip/emnist-letters-{name}"
                archive.writestr(member, gzip.compress(idx(array)))
    return buffer.getvalue()


def cifar_batches(n=2, seed=0):
    """Records by batch, and the images and labels in them."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (6 * n, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(6 * n, dtype=np.uint8) % 10
    planes = images.transpose(0, 3, 1, 2).reshape(6 * n, -1)
    records = np.column_stack([labels, planes])
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    batches = {name: records[n * i : n * (i + 1)].tobytes() for i, name in enumerate(names)}
    return batches, images, labels


def cifar_tar(batches):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        # Not in order, and with a file that is no batch.
        for name, content in [("readme.html", b"<html>"), *reversed(batches.items())]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["gz", "idx", "npz", "keras"])
def test_mnist_from_each_form(tmp_path, requests, form):
    X_train, y_train, X_test, y_test = arrays()
    if form == "gz":
        write(tmp_path, mnist_files())
    elif form == "idx":
        names = [f"mnist/{name.removesuffix('.gz')}" for name in MNIST_NAMES]
        write(tmp_path, dict(zip(names, map(idx, arrays()), strict=True)))
    else:
        names = ["X_train", "y_train", "X_test", "y_test"]
        names = [name.lower() for name in names] if form == "keras" else names
        np.savez(tmp_path / "mnist.npz", **dict(zip(names, arrays(), strict=True)))
    mnist = fetch_mnist(data_home=tmp_path)
    np.testing.assert_array_equal(mnist.images, np.concatenate([X_train, X_test]))
    np.testing.assert_array_equal(mnist.data, mnist.images.reshape(10, 784))
    np.testing.assert_array_equal(mnist.target, np.concatenate([y_train, y_test]))
    assert mnist.data.dtype == np.uint8
    assert mnist.split.tolist() == ["train"] * 6 + ["test"] * 4
    assert mnist.target_names.tolist() == list("0123456789")
    assert mnist.feature_names[:29:14] == ["pixel_0_0", "pixel_0_14", "pixel_1_0"]
    assert len(mnist.feature_names) == 784
    assert mnist.partial
    assert len(mnist.source) == (1 if form in ("npz", "keras") else 4)
    assert all(str(tmp_path) in path for path in mnist.source)
    assert ("is not the original" in mnist.DESCR) == (form in ("npz", "keras"))
    assert requests == []
    X, y = fetch_mnist(data_home=tmp_path, return_X_y=True)
    np.testing.assert_array_equal(X, mnist.data)
    np.testing.assert_array_equal(y, mnist.target)
    X[0] = 0  # what is given can be written to


def test_mnist_is_fetched_once(tmp_path, monkeypatch, web):
    files = mnist_files()
    web.update({_images._MNIST_URL + name: content for name, content in files.items()})
    remotes = [
        remote._replace(sha256=hashlib.sha256(files[remote.name]).hexdigest())
        for remote in _images._MNIST
    ]
    monkeypatch.setattr(_images, "_MNIST", remotes)
    first = fetch_mnist(data_home=tmp_path)
    assert {path.name for path in (tmp_path / "mnist").iterdir()} == set(MNIST_NAMES)
    web.clear()
    second = fetch_mnist(data_home=tmp_path)
    np.testing.assert_array_equal(first.data, second.data)
    assert first.source == second.source


def test_wrong_checksums_are_refused(tmp_path, web):
    """The real checksums, and files that are not the real ones."""
    web.update({_images._MNIST_URL + name: c for name, c in mnist_files().items()})
    web[_images._EMNIST[0].url] = letters_zip(arrays(first=1, last=26))
    web[_images._CIFAR[0].url] = cifar_tar(cifar_batches()[0])
    for fetch in FETCHERS:
        with pytest.raises(OSError, match=r"SHA-256 \w+, not \w+"):
            fetch(data_home=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("source", ["zip", "files", "npz"])
def test_letters_stand_upright_and_count_from_zero(tmp_path, source):
    parts = arrays(first=1, last=26)
    X_train, y_train, X_test, y_test = parts
    if source == "zip":
        write(tmp_path, {"gzip.zip": letters_zip(parts)})
    elif source == "files":
        names = [f"emnist-letters-{n.replace('t10k', 'test')}" for n in MNIST_NAMES]
        contents = [gzip.compress(idx(array)) for array in parts]
        write(tmp_path, dict(zip(names, contents, strict=True)))
    else:
        upright = X_test.transpose(0, 2, 1)
        np.savez(tmp_path / "emnist_letters_test10k.npz", X=upright, y=y_test)
    letters = fetch_emnist_letters(data_home=tmp_path)
    images, labels = np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test])
    split = ["train"] * 6 + ["test"] * 4
    if source == "npz":
        images, labels, split = X_test, y_test, ["test"] * 4
    np.testing.assert_array_equal(letters.images, images.transpose(0, 2, 1))
    np.testing.assert_array_equal(letters.target, labels.astype(int) - 1)
    assert letters.split.tolist() == split
    assert "".join(letters.target_names[letters.target[[0, -1]]]) == "az"
    assert letters.partial
    assert ("A part only" in letters.DESCR) == (source == "npz")


@pytest.mark.parametrize("source", ["tar", "files", "npz"])
def test_cifar_from_each_form(tmp_path, source):
    batches, images, labels = cifar_batches()
    if source == "tar":
        write(tmp_path, {"cifar-10-binary.tar.gz": cifar_tar(batches)})
    elif source == "files":
        write(tmp_path, {f"cifar-10-batches-bin/{n}": c for n, c in batches.items()})
    else:
        np.savez(
            tmp_path / "cifar10_train10k_a.npz",
            X_train=images[:10],
            y_train=labels[:10],
            X_test=images[10:],
            y_test=labels[10:],
        )
    cifar = fetch_cifar10(data_home=tmp_path)
    np.testing.assert_array_equal(cifar.images, images)
    np.testing.assert_array_equal(cifar.target, labels)
    assert cifar.data.shape == (12, 3072)
    assert cifar.split.tolist() == ["train"] * 10 + ["test"] * 2
    assert cifar.feature_names[-1] == "pixel_31_31_2"
    assert cifar.target_names[cifar.target[9]] == "truck"
    assert cifar.partial
    assert ("A part only" in cifar.DESCR) == (source == "npz")


def broken_mnist():
    good = mnist_files()
    images, labels = MNIST_NAMES[:2]
    raw = gzip.decompress(good[images])
    return {
        "gz cut off": {images: good[images][:-40]},
        "no gz": {images: b"\x1f\x8bnonsense"},
        "body cut off": {images: gzip.compress(raw[:-1])},
        "head cut off": {images: gzip.compress(raw[:9])},
        "a web page": {images: b"<html>not found</html>"},
        "empty": {labels: b""},
        "a label less": {labels: gzip.compress(idx(np.arange(5)))},
        "a letter": {labels: gzip.compress(idx(np.full(6, 10)))},
        "floats": {labels: gzip.compress(b"\0\0\x0d\1" + b"\0" * 8)},
    }


@pytest.mark.parametrize("kind", broken_mnist())
def test_broken_mnist_is_named(tmp_path, kind, requests):
    write(tmp_path, {**mnist_files(), **broken_mnist()[kind]})
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.* cannot be read: \w+"):
        fetch_mnist(data_home=tmp_path)
    assert requests == []


class Opened:
    """Told of by whoever unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("kind", ["cut", "page", "lacks", "pickle", "npy"])
def test_broken_npz_is_named(tmp_path, kind):
    buffer = io.BytesIO()
    X_train, y_train, X_test, _ = arrays()
    rest = {} if kind == "lacks" else {"y_test": np.array([Opened()] * 4, dtype=object)}
    np.savez(buffer, X_train=X_train, y_train=y_train, X_test=X_test, **rest)
    content = {
        "cut": buffer.getvalue()[:-500],
        "page": b"<html>",
        "npy": pickle.dumps(Opened()),
    }
    (tmp_path / "mnist.npz").write_bytes(content.get(kind, buffer.getvalue()))
    with pytest.raises(ValueError, match=r"mnist\.npz cannot be read: ") as caught:
        fetch_mnist(data_home=tmp_path)
    told = {"lacks": "no array 'y_test'", "pickle": "allow_pickle=False"}
    assert told.get(kind, "move it away") in str(caught.value)


def test_broken_archives_are_named(tmp_path):
    whole = letters_zip(arrays(first=1, last=26))
    lacks = letters_zip(arrays(first=1, last=26), skip=["test-labels-idx1-ubyte.gz"])
    digits = letters_zip(arrays(first=0, last=9))  # 0 is no letter
    for content in (whole[:-100], lacks, digits, b"<html>"):
        write(tmp_path, {"gzip.zip": content})
        with pytest.raises(ValueError, match=r"gzip\.zip cannot be read: "):
            fetch_emnist_letters(data_home=tmp_path)
    batches, *_ = cifar_batches()
    whole = cifar_tar(batches)
    short = cifar_tar({**batches, "data_batch_2.bin": batches["data_batch_2.bin"][:-1]})
    lacks = cifar_tar({n: c for n, c in batches.items() if n != "data_batch_3.bin"})
    for content in (whole[:5000], whole[:-3000], short, lacks, b"<html>", gzip.compress(b"x")):
        write(tmp_path, {"cifar-10-binary.tar.gz": content})
        with pytest.raises(ValueError, match=r"binary\.tar\.gz cannot be read: \S+"):
            fetch_cifar10(data_home=tmp_path)


def test_cifars_pickles_are_not_read(tmp_path):
    """The Python version lies there, and is left alone."""
    write(tmp_path, {"cifar-10-batches-py/data_batch_1": pickle.dumps(Opened())})
    write(tmp_path, {"cifar-10-python.tar.gz": pickle.dumps(Opened())})
    with pytest.raises(FileNotFoundError, match=r"Put cifar-10-binary\.tar\.gz"):
        fetch_cifar10(data_home=tmp_path, download_if_missing=False)


@pytest.mark.parametrize("fetch", FETCHERS)
def test_without_the_web_the_way_out_is_told(fetch, tmp_path, requests):
    with pytest.raises(OSError, match=r"Could not fetch https://.*Put .* into .*SKFI_DATA"):
        fetch(data_home=tmp_path, n_retries=0)
    assert len(requests) == 1


@pytest.mark.parametrize("fetch", FETCHERS)
@pytest.mark.parametrize(
    "params", [{"data_home": 3}, {"return_X_y": "yes"}, {"n_retries": -1}, {"delay": -1.0}]
)
def test_parameters_are_named(fetch, params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {fetch.__name__}"):
        fetch(**params)
