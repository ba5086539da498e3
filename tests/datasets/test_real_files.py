"""The real files, where they are: their sizes, and the witness of the preparation."""

from __future__ import annotations

import numpy as np
import pytest

from skfi.datasets import (
    fetch_adult,
    fetch_bank,
    fetch_celeba_attributes,
    fetch_cifar10,
    fetch_emnist_letters,
    fetch_jigsaw_embeddings,
    fetch_mnist,
)


def needed(folder, *names):
    """Skip where a file is missing, or what reads it."""
    for name in names:
        if name.endswith(".parquet"):
            pytest.importorskip("pandas")
            pytest.importorskip("pyarrow")
        if not (folder / name).exists():
            pytest.skip(f"no {name} in {folder}")


@pytest.mark.parametrize(
    ("fetch", "raw", "prepared"),
    [
        (fetch_adult, "adult.parquet", "infdatasel_adult.npz"),
        (fetch_bank, "bank_additional_full.parquet", "infdatasel_bank.npz"),
    ],
)
def test_raw_rows_prepared_are_the_prepared_matrix(data_folder, tmp_path, fetch, raw, prepared):
    """The witness of the preparation: these matrices were checked against its authors'."""
    needed(data_folder, raw, prepared)
    (tmp_path / raw).symlink_to(data_folder.resolve() / raw)
    bunch = fetch(data_home=tmp_path, preparation="chhabra2024")
    assert bunch.source == [str(tmp_path / raw)]
    with np.load(data_folder / prepared) as arrays:
        test, val = arrays["test_index"], arrays["val_index"]
        expected = {
            kind: np.concatenate(
                [arrays[f"{kind}_train"], *(arrays[f"{kind}_heldout"][i] for i in (test, val))]
            ).astype(float)
            for kind in "Xys"
        }
        mean, scale = arrays["scaler_mean"], arrays["scaler_scale"]
        sizes = [len(arrays["y_train"]), len(test), len(val)]
        l2_reg = float(arrays["l2_reg"])
    np.testing.assert_allclose(bunch.data, (expected["X"] - mean) / scale, atol=1e-9)
    np.testing.assert_array_equal(bunch.target, expected["y"])
    np.testing.assert_array_equal(bunch.sensitive, expected["s"])
    np.testing.assert_array_equal(bunch.split, np.repeat(["train", "test", "val"], sizes))
    assert bunch.l2_reg == l2_reg
    assert not bunch.partial
    (tmp_path / prepared).symlink_to(data_folder.resolve() / prepared)
    ready = fetch(data_home=tmp_path, preparation="chhabra2024")
    assert ready.source == [str(tmp_path / prepared)]
    np.testing.assert_allclose(ready.data, bunch.data, atol=1e-12)
    assert ready.feature_names == bunch.feature_names


def test_adult_as_it_is(data_folder):
    needed(data_folder, "adult.parquet")
    adult = fetch_adult(data_home=data_folder, as_frame=True)
    assert adult.frame.shape == (48_842, 15)
    assert (adult.split == "test").sum() == 16_281
    assert adult.target.sum() == 11_687
    assert adult.data.isna().any(axis=1).sum() == 48_842 - 45_222
    assert not adult.partial


def test_bank_as_it_is(data_folder):
    needed(data_folder, "bank_additional_full.parquet")
    bank = fetch_bank(data_home=data_folder)
    assert bank.data.shape == (41_188, 20)
    assert bank.target.sum() == 4_640
    assert not bank.partial


def test_celeba_prepared(data_folder):
    """The held-out rows are the last in order: their first attribute tells."""
    needed(data_folder, "infdatasel_celeba.npz")
    celeba = fetch_celeba_attributes(data_home=data_folder, preparation="chhabra2024")
    train = celeba.split == "train"
    assert celeba.data.shape == (104_163, 39)
    assert train.sum() == 62_497
    assert (celeba.data[train, 0] == 0).all()
    assert (celeba.data[~train, 0] != 0).mean() == pytest.approx(0.37, abs=0.005)
    assert celeba.target[train].mean() == pytest.approx(0.505, abs=0.0005)
    assert celeba.target[~train].mean() == pytest.approx(0.546, abs=0.0005)
    assert celeba.sensitive[~train].mean() == pytest.approx(0.566, abs=0.0005)
    with pytest.raises(FileNotFoundError, match="list_attr_celeba"):
        fetch_celeba_attributes(data_home=data_folder)


def test_mnist(data_folder):
    needed(data_folder, "mnist.npz")
    mnist = fetch_mnist(data_home=data_folder)
    assert mnist.images.shape == (70_000, 28, 28)
    train = mnist.split == "train"
    assert np.bincount(mnist.target[train])[:3].tolist() == [5923, 6742, 5958]
    assert mnist.images[train].mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert not mnist.partial


def test_letters_are_a_part(data_folder):
    needed(data_folder, "emnist_letters_test10k.npz")
    letters = fetch_emnist_letters(data_home=data_folder)
    assert np.bincount(letters.target).tolist() == [800] * 12 + [400]
    assert letters.partial


def test_cifar_is_a_part(data_folder):
    needed(data_folder, "cifar10_train10k_a.npz")
    cifar = fetch_cifar10(data_home=data_folder)
    assert np.bincount(cifar.target[cifar.split == "train"]).tolist() == [1000] * 10
    assert (cifar.split == "test").sum() == 1000
    assert cifar.images.shape == (11_000, 32, 32, 3)
    assert cifar.partial


def test_wikipedias_comments_stand_in_for_jigsaws(data_folder):
    needed(data_folder, "wiki_toxic_5k.parquet")

    def embed(texts):
        return np.array([[len(text), text.count("!")] for text in texts], dtype=float)

    jigsaw = fetch_jigsaw_embeddings(
        data_home=data_folder, embed=embed, preparation="chhabra2024"
    )
    assert jigsaw.data.shape == (5_000, 2)
    assert jigsaw.target.mean() == pytest.approx(0.13, abs=0.005)
    assert [(jigsaw.split == part).sum() for part in ("train", "test", "val")] == [
        3_000,
        1_000,
        1_000,
    ]
    assert jigsaw.partial
