"""Adult, Bank and CelebA: small files in the real formats, raw, prepared and broken."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skfi.datasets import (
    _tabular,
    fetch_adult,
    fetch_bank,
    fetch_celeba_attributes,
)

FETCHERS = [fetch_adult, fetch_bank, fetch_celeba_attributes]

ADULT_TRAIN = """\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, \
Male, 2174, 0, 40, United-States, <=50K
50, Private, 83311, HS-grad, 9, Divorced, Sales, Husband, White, Male, 0, 0, 13, Cuba, >50K
38, ?, 215646, HS-grad, 9, Divorced, ?, Not-in-family, Black, Male, 0, 0, 40, ?, <=50K
28, Private, 338409, Bachelors, 13, Divorced, Sales, Wife, Black, Female, 0, 5, 40, Cuba, >50K
37, State-gov, 284582, Masters, 14, Divorced, Sales, Wife, White, Female, 0, 0, 45, Cuba, <=50K

"""
ADULT_TEST = """\
|1x3 Cross validator
25, Private, 226802, Masters, 7, Never-married, Sales, Wife, Black, Male, 0, 0, 40, Cuba, <=50K.
44, ?, 160323, HS-grad, 10, Divorced, ?, Husband, Black, Male, 7688, 0, 40, Cuba, >50K.
18, Private, 103497, HS-grad, 10, Divorced, Sales, Wife, White, Female, 0, 0, 30, Cuba, >50K.

"""

BANK_HEAD = (
    '"age";"job";"marital";"education";"default";"housing";"loan";"contact";"month";'
    '"day_of_week";"duration";"campaign";"pdays";"previous";"poutcome";"emp.var.rate";'
    '"cons.price.idx";"cons.conf.idx";"euribor3m";"nr.employed";"y"'
)
BANK_ROWS = [
    '56;"housemaid";"married";"basic.4y";"no";"no";"no";"telephone";"may";"mon";261;1;999;0;'
    '"nonexistent";1.1;93.994;-36.4;4.857;5191;"no"',
    '37;"services";"single";"high.school";"no";"yes";"no";"cellular";"jun";"tue";226;1;999;0;'
    '"failure";1.1;93.994;-36.4;4.857;5228.1;"yes"',
    '36;"housemaid";"divorced";"high.school";"no";"no";"yes";"cellular";"may";"mon";151;2;3;1;'
    '"success";1.4;93.2;-42;4.021;5191;"no"',
    '57;"services";"married";"high.school";"unknown";"no";"no";"telephone";"may";"mon";149;1;'
    '999;0;"nonexistent";1.1;93.994;-36.4;4.857;5191;"no"',
    '25;"admin.";"married";"basic.4y";"no";"no";"no";"telephone";"may";"fri";50;1;999;0;'
    '"nonexistent";1.1;93.994;-36.4;4.857;5191;"yes"',
    '31;"admin.";"single";"basic.4y";"no";"yes";"no";"telephone";"jul";"mon";55;1;999;0;'
    '"nonexistent";1.1;93.994;-36.4;4.857;5191;"no"',
]
BANK = "\n".join([BANK_HEAD, *BANK_ROWS, ""])

CELEBA_NAMES = ["5_o_Clock_Shadow", "Male", "Smiling", "Young"]
CELEBA_VALUES = np.array(
    [
        [1, -1, 1, -1],
        [-1, 1, -1, 1],
        [-1, -1, 1, 1],  # like the row before, but for Male and Smiling
        [-1, 1, 1, -1],
        [1, 1, -1, 1],
        [-1, -1, -1, -1],  # like the one before the last
    ]
)


def celeba_text(values=CELEBA_VALUES, count=None):
    rows = [
        f"{i:06d}.jpg " + " ".join(f"{v:2d}" for v in row) for i, row in enumerate(values, 1)
    ]
    head = [str(len(values) if count is None else count), " ".join(CELEBA_NAMES) + " "]
    return "\n".join([*head, *rows, ""])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "adult.data").write_text(ADULT_TRAIN)
    (tmp_path / "adult.test").write_text(ADULT_TEST)
    (tmp_path / "bank-additional-full.csv").write_text(BANK)
    (tmp_path / "list_attr_celeba.txt").write_text(celeba_text())
    return tmp_path


def test_adult_as_it_is(folder, requests):
    adult = fetch_adult(data_home=folder)
    assert adult.data.shape == (8, 14)
    assert adult.target.tolist() == [0, 1, 0, 1, 0, 0, 1, 1]
    assert adult.target_names.tolist() == ["<=50K", ">50K"]
    assert adult.split.tolist() == ["train"] * 5 + ["test"] * 3
    assert adult.feature_names[:3] == ["age", "workclass", "fnlwgt"]
    assert "income" not in adult.feature_names
    assert adult.data[0, [0, 2, 10]].tolist() == [39, 77516, 2174]
    assert adult.categories["workclass"] == ["Private", "State-gov"]
    np.testing.assert_array_equal(adult.data[:4, 1], [1, 0, np.nan, 0])
    assert adult.source == [str(folder / "adult.data"), str(folder / "adult.test")]
    assert adult.frame is None
    assert adult.partial
    assert "CC BY 4.0" in adult.DESCR
    assert requests == []
    X, y = fetch_adult(data_home=folder, return_X_y=True)
    np.testing.assert_array_equal(X, adult.data)
    np.testing.assert_array_equal(y, adult.target)


def test_bank_as_it_is(folder):
    bank = fetch_bank(data_home=folder)
    assert bank.data.shape == (6, 20)
    assert bank.target.tolist() == [0, 1, 0, 0, 1, 0]
    assert bank.split is None
    assert bank.categories["default"] == ["no", "unknown"]
    assert bank.data[1, -1] == 5228.1
    assert bank.data[:, 4].tolist() == [0, 0, 0, 1, 0, 0]


def test_celeba_as_it_is(folder):
    celeba = fetch_celeba_attributes(data_home=folder)
    np.testing.assert_array_equal(celeba.data, CELEBA_VALUES[:, [0, 1, 3]])
    assert celeba.feature_names == ["5_o_Clock_Shadow", "Male", "Young"]
    assert celeba.target.tolist() == [1, 0, 1, 1, 0, 0]
    assert set(celeba.split) == {"train"}
    assert celeba.partial


def test_frames_have_categories_and_numbers(folder):
    pd = pytest.importorskip("pandas")
    adult = fetch_adult(data_home=folder, as_frame=True)
    assert isinstance(adult.data, pd.DataFrame)
    assert adult.frame.columns.tolist() == [*adult.feature_names, "income"]
    assert adult.data["workclass"].dtype == "category"
    assert adult.data["workclass"].isna().tolist() == [False] * 2 + [True] + [False] * 3 + [
        True,
        False,
    ]
    assert adult.data["age"].dtype == np.int64
    assert adult.target.name == "income"
    assert adult.target.tolist() == [0, 1, 0, 1, 0, 0, 1, 1]
    bank, y = fetch_bank(data_home=folder, as_frame=True, return_X_y=True)
    assert bank["nr.employed"].dtype == np.float64
    assert bank["job"].tolist()[:2] == ["housemaid", "services"]
    assert y.name == "y"
    prepared = fetch_adult(data_home=folder, as_frame=True, preparation="chhabra2024")
    plain = fetch_adult(data_home=folder, preparation="chhabra2024")
    assert prepared.data.columns.tolist() == plain.feature_names
    np.testing.assert_array_equal(prepared.data, plain.data)


def test_parquet_gives_what_text_gives(folder, tmp_path_factory):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    other = tmp_path_factory.mktemp("parquet")
    for fetch, name in (
        (fetch_adult, "adult.parquet"),
        (fetch_bank, "bank_additional_full.parquet"),
    ):
        raw = fetch(data_home=folder, as_frame=True)
        label = raw.frame.columns[-1]
        frame = raw.frame.assign(**{label: raw.target_names[raw.target]})
        if raw.split is not None:
            frame["split"] = pd.Categorical(raw.split)
        frame.to_parquet(other / name)
        for preparation in (None, "chhabra2024"):
            text = fetch(data_home=folder, preparation=preparation)
            parquet = fetch(data_home=other, preparation=preparation)
            np.testing.assert_array_equal(parquet.data, text.data)
            np.testing.assert_array_equal(parquet.target, text.target)
            np.testing.assert_array_equal(parquet.split, text.split)
            assert parquet.feature_names == text.feature_names


def unscaled(bunch):
    """The matrix up to the scale of columns: what differs within one is what counts."""
    return [np.unique(column.round(9), return_inverse=True)[1] for column in bunch.data.T]


def test_adult_prepared(folder):
    adult = fetch_adult(data_home=folder, preparation="chhabra2024")
    assert adult.feature_names == [
        "age",
        "education-num",
        "capital-gain",
        "capital-loss",
        "hours-per-week",
        *("workclass=State-gov", "workclass=Private"),
        *("education=Bachelors", "education=HS-grad", "education=Masters"),
        *("marital-status=Never-married", "marital-status=Divorced"),
        *("occupation=Adm-clerical", "occupation=Sales"),
        *("relationship=Not-in-family", "relationship=Husband", "relationship=Wife"),
        *("race=White", "race=Black"),
        "sex",
        *("native-country=United-States", "native-country=Cuba"),
    ]
    assert adult.split.tolist() == ["train"] * 4 + ["test", "val"]
    assert adult.target[:4].tolist() == [0, 1, 1, 0]
    assert adult.sensitive[:4].tolist() == [1, 1, 0, 0]
    assert adult.l2_reg == 2.2622
    ages = np.array([39, 50, 28, 37])
    expected = (ages - ages[:3].mean()) / ages[:3].std()  # three of the four rows
    np.testing.assert_allclose(adult.data[:4, 0], expected)
    held = dict(zip(adult.data[4:, 0].round(6), adult.sensitive[4:], strict=True))
    scale = ages[:3].std()
    assert held == {
        round((25 - 39) / scale, 6): 1,
        round((18 - 39) / scale, 6): 0,
    }


def test_bank_prepared(folder):
    bank = fetch_bank(data_home=folder, preparation="chhabra2024")
    assert bank.feature_names[:10] == [
        "duration",
        "campaign",
        "pdays",
        "previous",
        "emp.var.rate",
        "cons.price.idx",
        "cons.conf.idx",
        "euribor3m",
        "nr.employed",
        "job=housemaid",
    ]
    assert bank.feature_names[10:14] == [
        "job=services",
        "job=admin.",
        "marital=married",
        "education=basic.4y",
    ]
    assert bank.feature_names[-1] == "sex"
    for name in ("default=yes", "housing=yes", "loan=yes", "contact=cellular"):
        assert bank.feature_names.count(name) == 1
    assert not [n for n in bank.feature_names if n.startswith("age") or "unknown" in n]
    assert bank.split.tolist() == ["train"] * 3 + ["test", "val"]
    train, _ = train_test_split([56, 37, 36, 25, 31], test_size=0.4, random_state=42)
    assert bank.sensitive[:3].tolist() == [age < 37 for age in train]
    assert bank.sensitive.sum() == 3
    assert bank.target.sum() == 2
    # In the same row: the one of 50 seconds has an age of 25 and says yes.
    shortest = bank.data[:, 0].argmin()
    assert (bank.target[shortest], bank.sensitive[shortest]) == (1, 1)


def test_celeba_prepared(folder):
    celeba = fetch_celeba_attributes(data_home=folder, preparation="chhabra2024")
    assert celeba.feature_names == ["5_o_Clock_Shadow", "Young", "sex"]
    # Distinct rows in order: (-1, -1), (-1, 1), (1, -1), (1, 1); the first of each counts.
    assert celeba.split.tolist() == ["train", "train", "test", "val"]
    assert celeba.target[:2].tolist() == [1, 0]
    assert celeba.sensitive[:2].tolist() == [0, 0]
    assert sorted(celeba.sensitive[2:]) == [0, 1]
    assert celeba.data[:2, 0].tolist() == [0, 0]  # constant in training
    assert (celeba.data[2:, 0] == 2).all()


def test_prepared_arrays_are_scaled_and_put_in_order(tmp_path):
    rng = np.random.default_rng(0)
    n, held = 10, 5
    arrays = {
        "X_train": rng.normal(size=(n, 3)),
        "y_train": np.arange(n) % 2,
        "s_train": np.arange(n) % 3 == 0,
        "X_heldout": rng.normal(size=(held, 3)),
        "y_heldout": np.arange(held) % 2,
        "s_heldout": np.arange(held) > 2,
        "feature_names": np.array(["eduction-num", "Guam(etc)", "sex(=age<37)"]),
    }
    for name in ("adult", "bank", "celeba"):
        np.savez(tmp_path / f"infdatasel_{name}.npz", **arrays)
    scaler = StandardScaler().fit(arrays["X_train"][:8])
    for fetch in FETCHERS:
        bunch = fetch(data_home=tmp_path, preparation="chhabra2024")
        np.testing.assert_allclose(bunch.data[:n], scaler.transform(arrays["X_train"]))
        rows = scaler.transform(arrays["X_heldout"])
        order = [np.abs(rows - row).sum(axis=1).argmin() for row in bunch.data[n:]]
        halves = train_test_split(np.arange(held), test_size=0.5, random_state=42000)
        assert order == np.concatenate(halves).tolist()
        np.testing.assert_allclose(bunch.data[n:], rows[order])
        np.testing.assert_array_equal(bunch.target[n:], arrays["y_heldout"][order])
        np.testing.assert_array_equal(bunch.sensitive[n:], arrays["s_heldout"][order])
        assert bunch.split.tolist() == ["train"] * n + ["test"] * 2 + ["val"] * 3
        assert bunch.feature_names == ["education-num", "Guam(etc)", "sex"]


def test_original_files_come_first(folder):
    (folder / "infdatasel_adult.npz").write_bytes(b"broken")
    (folder / "adult.parquet").write_bytes(b"broken")
    fetch_adult(data_home=folder)
    fetch_adult(data_home=folder, preparation="chhabra2024")
    (folder / "adult.data").unlink()
    for preparation, name in ((None, "adult.parquet"), ("chhabra2024", "infdatasel_adult")):
        if preparation is None:
            pytest.importorskip("pyarrow")
        with pytest.raises(ValueError, match=name):
            fetch_adult(data_home=folder, preparation=preparation)


def bank_zip(csv=BANK):
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("bank-additional/bank-additional-full.csv", csv)
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("bank-additional.zip", inner.getvalue())
    return outer.getvalue()


def test_fetched_once_and_read_again(folder, tmp_path_factory, monkeypatch, web):
    empty = tmp_path_factory.mktemp("empty")
    contents = {
        "adult.data": ADULT_TRAIN.encode(),
        "adult.test": ADULT_TEST.encode(),
        "bank+marketing.zip": bank_zip(),
    }
    for of in ("_ADULT", "_BANK"):
        remotes = [
            remote._replace(sha256=hashlib.sha256(contents[remote.name]).hexdigest())
            for remote in getattr(_tabular, of).remotes
        ]
        monkeypatch.setattr(_tabular, of, getattr(_tabular, of)._replace(remotes=remotes))
        web.update({remote.url: contents[remote.name] for remote in remotes})
    for fetch in (fetch_adult, fetch_bank):
        first = fetch(data_home=empty)
        np.testing.assert_array_equal(first.data, fetch(data_home=folder).data)
        web_was, _ = dict(web), web.clear()
        np.testing.assert_array_equal(first.data, fetch(data_home=empty).data)
        assert fetch(data_home=empty, preparation="chhabra2024").l2_reg > 0
        web.update(web_was)
    names = {path.relative_to(empty).as_posix() for path in empty.rglob("*.*")}
    assert names == {"adult/adult.data", "adult/adult.test", "bank/bank+marketing.zip"}


def test_wrong_checksums_are_refused(tmp_path, web):
    """The real checksums, and files that are not the real ones."""
    for of, content in ((_tabular._ADULT, ADULT_TRAIN.encode()), (_tabular._BANK, bank_zip())):
        web.update({remote.url: content for remote in of.remotes})
    for fetch in (fetch_adult, fetch_bank):
        with pytest.raises(OSError, match=r"SHA-256 \w+, not \w+"):
            fetch(data_home=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


ADULT_LINES = ADULT_TRAIN.splitlines()
BROKEN = {
    "Adult, cut within a line": (fetch_adult, "adult.data", ADULT_TRAIN[:250]),
    "Adult, cut within a label": (fetch_adult, "adult.data", ADULT_TRAIN.rstrip()[:-2]),
    "Adult, a value more": (fetch_adult, "adult.data", ADULT_LINES[0] + ", 1"),
    "Adult, empty": (fetch_adult, "adult.test", "|1x3 Cross validator\n"),
    "Adult, a web page": (fetch_adult, "adult.test", "<html>"),
    "Adult, no text": (fetch_adult, "adult.test", "\0\xff\xfe"),
    "Bank, cut within a line": (fetch_bank, "bank-additional-full.csv", BANK[:-40]),
    "Bank, cut within quotes": (fetch_bank, "bank-additional-full.csv", BANK[:-4]),
    "Bank, the smaller set": (fetch_bank, "bank-additional-full.csv", '"age";"job"\n1;"x"'),
    "Bank, other label": (
        fetch_bank,
        "bank-additional-full.csv",
        BANK.replace('"yes"\n', "1\n"),
    ),
    "CelebA, rows missing": (
        fetch_celeba_attributes,
        "list_attr_celeba.txt",
        celeba_text(count=7),
    ),
    "CelebA, cut within a row": (
        fetch_celeba_attributes,
        "list_attr_celeba.txt",
        celeba_text()[:-6],
    ),
    "CelebA, no attribute": (
        fetch_celeba_attributes,
        "list_attr_celeba.txt",
        celeba_text(0 * CELEBA_VALUES),
    ),
    "CelebA, comma-separated": (
        fetch_celeba_attributes,
        "list_attr_celeba.txt",
        "image_id,Male\n000001.jpg,1",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("preparation", [None, "chhabra2024"])
def test_broken_files_are_named(folder, kind, preparation, requests):
    fetch, name, content = BROKEN[kind]
    (folder / name).write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=rf"{name}.* cannot be read: .*move it away"):
        fetch(data_home=folder, preparation=preparation)
    assert requests == []


def test_lines_are_counted_as_in_the_file(folder):
    lines = ADULT_TEST.splitlines()
    lines[2] = lines[2].replace(", Cuba", "")
    (folder / "adult.test").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"adult\.test, line 3: 14 values, expected 15"):
        fetch_adult(data_home=folder)


def test_a_category_of_test_rows_only_is_told(folder):
    (folder / "adult.test").write_text(ADULT_TEST.replace("Wife", "Own-child"))
    fetch_adult(data_home=folder)
    with pytest.raises(ValueError, match="test rows have \\['Own-child'\\]"):
        fetch_adult(data_home=folder, preparation="chhabra2024")


def test_broken_parquet_and_archive_are_named(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    buffer = io.BytesIO()
    pd.DataFrame({"age": [1, 2]}).to_parquet(buffer)
    for content in (buffer.getvalue(), buffer.getvalue()[:-20], b"<html>"):
        (tmp_path / "adult.parquet").write_bytes(content)
        with pytest.raises(ValueError, match=r"adult\.parquet cannot be read"):
            fetch_adult(data_home=tmp_path)
    for content in (bank_zip()[:-30], bank_zip(csv=BANK[:700]), b"<html>"):
        (tmp_path / "bank+marketing.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"bank\+marketing\.zip cannot be read"):
            fetch_bank(data_home=tmp_path)


def test_without_the_web_the_way_out_is_told(tmp_path, requests):
    for fetch in (fetch_adult, fetch_bank):
        with pytest.raises(OSError, match=r"Could not fetch https://.*Put .* into .*SKFI_DATA"):
            fetch(data_home=tmp_path, n_retries=0)
    assert len(requests) == 2
    with pytest.raises(FileNotFoundError, match=r"non-commercial.*Put list_attr_celeba\.txt"):
        fetch_celeba_attributes(data_home=tmp_path)
    assert len(requests) == 2


@pytest.mark.parametrize("fetch", FETCHERS)
@pytest.mark.parametrize(
    "params",
    [{"preparation": "chhabra"}, {"as_frame": "yes"}, {"data_home": 3}, {"return_X_y": 1.5}],
)
def test_parameters_are_named(fetch, params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {fetch.__name__}"):
        fetch(**params)
