"""Categories that the training rows lack: rows are described as far as known, folds named."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from skfi import FITrimmer, FITrimmerCV, baselines


def model(encoder=None):
    encoder = OneHotEncoder() if encoder is None else encoder
    columns = make_column_transformer((encoder, ["town"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression())


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"x": rng.normal(size=90), "town": rng.choice(["Rome", "Oslo"], 90)})
    y = np.where(X["x"] + 0.3 * rng.normal(size=90) > 0, "yes", "no")
    X.loc[7, ["x", "town"]] = [4.0, "Ulm"]  # wrong, and the only row of its category
    y[7] = "no"
    return X, y, X.iloc[60:], y[60:]


def test_what_cannot_be_known_of_a_dropped_row_is_missing(data):
    X, y, _, _ = data
    trimmer = FITrimmer(model(), budget=4, step=None, influence="loss").fit(X, y)
    report = trimmer.report()
    assert report["position"].iloc[0] == 7
    facts = ["predicted_label", "predicted_probability", "loss"]
    assert report[facts].iloc[0].isna().all()
    assert report[facts].iloc[1:].notna().all(axis=None)
    kept = report["position"].iloc[1:]
    assert report["predicted_label"].iloc[1:].tolist() == trimmer.predict(X.loc[kept]).tolist()
    pytest.importorskip("jinja2")
    assert "NaN" not in trimmer.to_html(frame=X).partition("<script")[2]


def test_nothing_may_be_known_of_any_dropped_row(data):
    X, y, X_val, y_val = data
    trimmer = FITrimmer(model(), budget=1, step=None, checked_rows="judge")
    trimmer.fit(X[:60], y[:60], X_val=X_val, y_val=y_val)
    assert trimmer.trimmed_indices_.tolist() == [7]
    assert trimmer.report()["predicted_label"].isna().all()


WITH_FOLDS = {
    "trimmer": lambda X, y: FITrimmer(model(), validation=3).fit(X, y),
    "chosen budget": lambda X, y: FITrimmerCV(
        model(), influence="random", budgets=(0.1,), cv=3, random_state=0
    ).fit(X, y),
    "self-confidence": lambda X, y: baselines.self_confidence(model().fit(X, y), X, y, cv=3),
}


@pytest.mark.parametrize("name", WITH_FOLDS)
def test_a_fold_with_such_a_row_is_named_with_column_and_remedy(data, name):
    X, y, _, _ = data
    with pytest.raises(ValueError, match=r"Fold [123] of 3 of (validation|cv) holds") as caught:
        WITH_FOLDS[name](X, y)
    for part in ("'Ulm'", "column 'town'", 'OneHotEncoder(handle_unknown="ignore")'):
        assert part in str(caught.value)


def test_rows_passed_as_validation_set_are_named_so(data):
    X, y, _, _ = data
    with pytest.raises(ValueError, match=r"X_val holds .*'Ulm'.* column 'town'"):
        FITrimmer(model(), checked_rows="judge").fit(X[20:], y[20:], X_val=X[:20], y_val=y[:20])


def test_an_array_has_the_number_of_the_column(data):
    X, y, _, _ = data
    encoder = OrdinalEncoder()
    plain = make_pipeline(encoder, LogisticRegression())
    rows = X[["town"]].to_numpy()
    with pytest.raises(ValueError, match=r"'Ulm'\] in column 0 of the encoder"):
        FITrimmer(plain, validation=3).fit(rows, y)


def test_the_remedy_works(data):
    X, y, _, _ = data
    trimmer = FITrimmer(model(OneHotEncoder(handle_unknown="ignore")), budget=3, validation=3)
    assert trimmer.fit(X, y).report()["predicted_label"].notna().all()


def test_other_errors_are_left_alone(data):
    X, y, _, _ = data
    X.loc[3, "x"] = np.nan
    with pytest.raises(ValueError, match="NaN") as caught:
        FITrimmer(model(OneHotEncoder(handle_unknown="ignore")), validation=3).fit(X, y)
    assert "Fold" not in str(caught.value)
