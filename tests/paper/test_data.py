"""The paper's data sets: real files, small files of each format, and missing ones."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from examples.paper import _files, _preparation  # noqa: E402
from examples.paper._files import Missing, Remote, Source, obtain  # noqa: E402
from examples.paper._images import pictures  # noqa: E402
from examples.paper._preparation import prepared  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("SKFI_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def real(data_folder, folder):
    """Puts real files into the folder; skips where one is missing."""

    def link(*names):
        for name in names:
            if not (data_folder / name).exists():
                pytest.skip(f"no {name} in {data_folder}")
            (folder / name).symlink_to(data_folder.resolve() / name)

    return link


@pytest.mark.parametrize(
    ("name", "raw", "ready"),
    [
        ("adult", "adult.parquet", "infdatasel_adult.npz"),
        ("bank", "bank_additional_full.parquet", "infdatasel_bank.npz"),
    ],
)
def test_raw_rows_prepared_are_the_prepared_matrix(real, data_folder, name, raw, ready):
    """The witness of the preparation: these matrices were checked against its authors'."""
    real(raw)
    made = prepared(name)
    if not (data_folder / ready).exists():
        pytest.skip(f"no {ready} in {data_folder}")
    with np.load(data_folder / ready) as arrays:
        test, val = arrays["test_index"], arrays["val_index"]
        X, y = (
            np.concatenate(
                [arrays[f"{k}_train"], *(arrays[f"{k}_heldout"][i] for i in (test, val))]
            )
            for k in "Xy"
        )
        expected = (X.astype(float) - arrays["scaler_mean"]) / arrays["scaler_scale"]
        sizes = [len(arrays["y_train"]), len(test), len(val)]
    np.testing.assert_allclose(made.data, expected, atol=1e-9)
    np.testing.assert_array_equal(made.target, y)
    np.testing.assert_array_equal(made.split, np.repeat(["train", "test", "val"], sizes))
    assert not made.partial
    real(ready)
    np.testing.assert_allclose(prepared(name).data, made.data, atol=1e-12)


def test_adult_from_its_original_files(real, folder):
    real("adult.parquet")
    frame = pd.read_parquet(folder / "adult.parquet")
    expected = prepared("adult")
    frame = frame.astype(object).where(frame.notna(), "?")
    for part, name, end in (("train", "adult.data", ""), ("test", "adult.test", ".")):
        rows = frame[frame["split"] == part].drop(columns="split")
        lines = [", ".join(map(str, row)) + end for row in rows.to_numpy().tolist()]
        first = ["|1x3 Cross validator"] if part == "test" else []
        (folder / name).write_text("\n".join([*first, *lines]) + "\n")
    made = prepared("adult")
    np.testing.assert_array_equal(made.data, expected.data)
    np.testing.assert_array_equal(made.target, expected.target)


def test_celebas_held_out_rows_are_the_last_in_order(real):
    real("infdatasel_celeba.npz")
    celeba = prepared("celeba")
    train = celeba.split == "train"
    assert celeba.data.shape == (104_163, 39)
    assert train.sum() == 62_497
    assert (celeba.data[train, 0] == 0).all()
    assert celeba.target[~train].mean() == pytest.approx(0.546, abs=0.0005)


def test_wikipedias_comments_stand_in_for_jigsaws(real, monkeypatch):
    real("wiki_toxic_5k.parquet")
    lengths = lambda texts: np.array([[len(text), text.count("!")] for text in texts], float)  # noqa: E731
    monkeypatch.setattr(_preparation, "embedded", lengths)
    jigsaw = prepared("jigsaw")
    assert jigsaw.data.shape == (5_000, 2)
    assert np.unique(jigsaw.split, return_counts=True)[1].tolist() == [1_000, 3_000, 1_000]
    assert jigsaw.partial


@pytest.mark.parametrize(
    ("name", "file", "shape", "partial"),
    [
        ("MNIST", "mnist.npz", (70_000, 28, 28), False),
        ("EMNIST", "emnist_letters_test10k.npz", (10_000, 28, 28), True),
        ("CIFAR-10", "cifar10_train10k_a.npz", (11_000, 32, 32, 3), True),
    ],
)
def test_images_are_read(real, name, file, shape, partial):
    real(file)
    images = pictures(name)
    assert images.images.shape == shape
    assert images.images.dtype == np.uint8
    assert images.partial == partial


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def write_mnist(folder):
    images = np.arange(5 * 28 * 28, dtype=np.uint8).reshape(5, 28, 28)
    labels = np.array([3, 1, 4, 1, 5], np.uint8)
    for part, rows in (("train", slice(0, 3)), ("t10k", slice(3, 5))):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(array[rows])))
    return images, labels


def test_original_image_files_are_read(folder):
    images, labels = write_mnist(folder)
    mnist = pictures("MNIST")
    np.testing.assert_array_equal(mnist.images, images)
    np.testing.assert_array_equal(mnist.target, labels)
    assert mnist.split.tolist() == ["train"] * 3 + ["test"] * 2
    assert mnist.partial


def test_a_broken_file_is_named(folder):
    write_mnist(folder)
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz.* is cut off"):
        pictures("MNIST")


def test_cifar_is_read_from_its_binary_version(folder):
    rng = np.random.default_rng(0)
    (folder / "cifar-10-batches-bin").mkdir()
    records = rng.integers(0, 10, (6, 2, 3073), dtype=np.uint8)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for name, batch in zip(names, records, strict=True):
        (folder / "cifar-10-batches-bin" / name).write_bytes(batch.tobytes())
    cifar = pictures("CIFAR-10")
    np.testing.assert_array_equal(cifar.target, records[..., 0].ravel())
    planes = records[..., 1:].reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(cifar.images, planes.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", ["celeba", "jigsaw"])
def test_what_cannot_be_downloaded_says_where_it_is(folder, name):
    with pytest.raises(Missing, match=rf"{name}.*https://.*SKFI_DATA"):
        prepared(name)


def test_a_download_of_the_wrong_content_is_refused(folder, tmp_path_factory):
    pytest.importorskip("pooch")
    wrong = tmp_path_factory.mktemp("web") / "page"
    wrong.write_text("an error page")
    remote = Remote("file.bin", wrong.as_uri(), "0" * 64)
    source = Source(("file.bin",), lambda paths: paths[0].read_bytes())
    with pytest.raises(Missing, match=r"a set could not be downloaded.*SKFI_DATA"):
        obtain("a set", [source], [remote])
    assert not list(folder.iterdir())


def test_without_pooch_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(Missing, match=r"pip install \"\.\[paper\]\""):
        _files.obtain("a set", [Source(("x",), list)], [Remote("x", "https://a.b/x", "0" * 64)])
