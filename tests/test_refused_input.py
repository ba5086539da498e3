"""What every estimator and score refuses: dask collections, regressors, missing labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfi
from skfi import (
    FIActiveSampler,
    FIEmbedding,
    FITrimmer,
    FITrimmerCV,
    active_learning_curve,
    baselines,
    queries,
)
from tests.data import make_split

X, Y, X_VAL, Y_VAL, _ = make_split()
MODEL = LogisticRegression().fit(X, Y)
SCORES = {
    name: getattr(baselines, name)
    for name in ("iv", "knn_shapley", "loss", "self_confidence", "tmc_shapley")
} | {"fi_util": skfi.fi_util, "fi_signed": skfi.fi_signed}
ESTIMATORS = {
    kind.__name__: kind
    for kind in (
        FITrimmer,
        FITrimmerCV,
        FIActiveSampler,
        FIEmbedding,
        queries.Margin,
        queries.BALD,
    )
}


def score(name, model=MODEL, X=X, y=Y, X_val=X_VAL, y_val=Y_VAL, **options):
    return SCORES[name](model, X, y, X_val, y_val, **options)


REGRESSORS = [
    (Ridge(), r"regressor \(Ridge\)"),
    (RandomForestRegressor(2), r"regressor \(RandomForestRegressor\)"),
    (make_pipeline(StandardScaler(), Ridge()), "regressor"),
    (GridSearchCV(Ridge(), {}), "regressor"),
    (KMeans(2), r"clusterer \(KMeans\)"),
    (IsolationForest(), r"outlier detector \(IsolationForest\)"),
]


@pytest.mark.parametrize(("other", "kind"), REGRESSORS, ids=lambda value: type(value).__name__)
class TestRegressors:
    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_for_the_classifier(self, name, other, kind):
        message = f"^estimator is a {kind}.* must be a classifier"
        with pytest.raises(TypeError, match=message):
            ESTIMATORS[name](other).fit(X, Y)

    def test_to_score_by(self, other, kind):
        with pytest.raises(TypeError, match=f"^influence_estimator is a {kind}.* a classifier"):
            FITrimmer(influence_estimator=other).fit(X, Y)

    @pytest.mark.parametrize("name", SCORES)
    def test_to_score(self, name, other, kind):
        with pytest.raises(TypeError, match=r"is a (regressor|clusterer|outlier detector)"):
            score(name, other.fit(X, Y))

    def test_in_a_curve(self, other, kind):
        with pytest.raises(TypeError, match=f"^estimator is a {kind}"):
            active_learning_curve(other, X, Y, queries.Random())


def test_a_stand_in_does_not_make_a_trimmed_regressor():
    trimmer = FITrimmer(LinearRegression(), influence_estimator=LogisticRegression())
    with pytest.raises(TypeError, match="estimator is a regressor"):
        trimmer.fit(X, Y)


@pytest.fixture(params=["array", "frame"])
def chunks(request):
    """Function of rows or labels: a dask collection."""
    da = pytest.importorskip("dask.array")
    if request.param == "array":
        return da.from_array
    dd = pytest.importorskip("dask.dataframe")
    pd = pytest.importorskip("pandas")

    def of(values):
        frame = pd.DataFrame(values) if np.ndim(values) > 1 else pd.Series(values)
        return dd.from_pandas(frame, npartitions=2)

    return of


def refused(name):
    message = rf"^{name} is a dask (Array|DataFrame|Series), .*pass {name}\.compute\(\)"
    return pytest.raises(TypeError, match=message)


class TestDask:
    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_estimators(self, chunks, name):
        with refused("X"):
            ESTIMATORS[name]().fit(chunks(X), Y)
        with refused("y"):
            ESTIMATORS[name]().fit(X, chunks(Y))

    def test_trimmers(self, chunks):
        trimmer = FITrimmer()
        with refused("X_val"):
            trimmer.fit(X, Y, X_val=chunks(X_VAL), y_val=Y_VAL)
        with refused("y_val"):
            trimmer.fit(X, Y, X_val=X_VAL, y_val=chunks(Y_VAL))
        with refused("sample_weight"):
            trimmer.fit(X, Y, chunks(np.ones(len(Y))))
        with refused("X"):
            trimmer.fit_resample(chunks(X), Y)

    @pytest.mark.parametrize("name", SCORES)
    def test_scores(self, chunks, name):
        with refused("X"):
            score(name, X=chunks(X))
        with refused("y"):
            score(name, y=chunks(Y))
        if name in ("loss", "self_confidence"):  # no rows to score against
            return
        with refused("X_val"):
            score(name, X_val=chunks(X_VAL))
        with refused("y_val"):
            score(name, y_val=chunks(Y_VAL))

    @pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"FITrimmer", "FITrimmerCV"}))
    def test_pools(self, chunks, name):
        fitted = ESTIMATORS[name]().fit(X, Y)
        if name == "FIEmbedding":
            with refused("X"):
                fitted.transform(chunks(X_VAL))
            return
        for ask in (fitted.query, fitted.score_samples):
            with refused("X_pool"):
                ask(chunks(X_VAL))

    def test_scores_of_a_pool(self, chunks):
        with refused("X_pool"):
            skfi.fi_active(MODEL, X, Y, chunks(X_VAL))
        with refused("X_query"):
            skfi.fi_pairwise(MODEL, X, Y, chunks(X_VAL))
        with refused("X"):
            baselines.random(None, chunks(X), Y)

    def test_curves(self, chunks):
        with refused("X"):
            active_learning_curve(LogisticRegression(), chunks(X), Y, queries.Random())


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_missing_labels_are_said_of_y(name, missing):
    labels = np.where(Y == 1, "yes", "no").astype(object)
    labels[3] = missing
    for y in (labels, labels.tolist()):
        with pytest.raises(ValueError, match=r"^y holds None or NaN .* 1 of"):
            ESTIMATORS[name]().fit(X, y)
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"^y holds None or NaN .* 1 of"):
        ESTIMATORS[name]().fit(X, pd.Series(labels, dtype="string"))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_validation_labels_that_are_missing_are_not_said_to_be_of_another_type(missing):
    text = np.where(Y == 0, "a", "b")
    y_val = np.where(Y_VAL == 0, "a", "b").astype(object)
    y_val[3] = missing
    with pytest.raises(ValueError, match=r"y_val has labels .* None and NaN are no labels"):
        skfi.fi_util(LogisticRegression().fit(X, text), X, text, X_VAL, y_val)
