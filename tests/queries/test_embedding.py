"""FIEmbedding: lengths are FI, and it is a transformer like any other."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfi import FIEmbedding, fi_active
from tests.conftest import make_split

EXACT = dict(tol=1e-10, max_iter=10_000)


@parametrize_with_checks(
    [
        FIEmbedding(),
        FIEmbedding(
            make_pipeline(MaxAbsScaler(), LogisticRegression()),
            n_components=2,
            aggregate="row_trimmed_mean",
            metric="mahalanobis",
            curvature="kfac",
        ),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sklearn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("aggregate", ["mean", "row_trimmed_mean"])
@pytest.mark.parametrize("curvature", ["exact", "kfac"])
def test_squared_length_is_fi(n_classes, aggregate, curvature):
    X, y, V, _, _ = make_split(n_classes, n=60, n_val=30)
    settings = dict(aggregate=aggregate, curvature=curvature, validation_loss="expected_error")
    embedding = FIEmbedding(**settings).fit(X, y)
    E = embedding.transform(V)
    expected = fi_active(embedding.estimator_, X, y, V, **settings)
    np.testing.assert_allclose((E**2).sum(axis=1), expected, rtol=1e-8)
    assert E.shape == (30, embedding.n_components_)
    assert embedding.explained_variance_ratio_.sum() == pytest.approx(1.0)
    assert (np.diff(embedding.explained_variance_ratio_) <= 1e-15).all()
    # Shares are of gradients that scatter as the Hessian has it, in whatever units.
    far = FIEmbedding(LogisticRegression(C=1e-6, solver="newton-cg", **EXACT), **settings).fit(
        X * 1e3, y
    )
    F = far.transform(V * 1e3)
    expected = fi_active(far.estimator_, X * 1e3, y, V * 1e3, **settings)
    np.testing.assert_allclose((F**2).sum(axis=1), expected, rtol=1e-4)
    few = FIEmbedding(n_components=2, **settings).fit(X, y)
    np.testing.assert_allclose(np.abs(few.transform(V)), np.abs(E[:, :2]), rtol=1e-6)


def test_in_a_pipeline_with_names():
    pd = pytest.importorskip("pandas")
    X, y, V, _, _ = make_split(3, n=60, n_val=30)
    frame = pd.DataFrame(X, columns=list("abcde"))
    embedding = FIEmbedding(n_components=3).set_output(transform="pandas")
    found = embedding.fit(frame, y).transform(frame)
    assert list(found.columns) == ["fiembedding0", "fiembedding1", "fiembedding2"]
    with pytest.raises(ValueError, match="X must have the columns"):
        embedding.transform(frame[list("edcba")])
    clusters = make_pipeline(FIEmbedding(), KMeans(3, random_state=0)).fit(X, y)
    assert set(clusters[-1].labels_) == {0, 1, 2}
    assert len(clusters.predict(V)) == len(V)


def test_a_frozen_network():
    X, y, V, _, _ = make_split(3, n=60, n_val=30)
    net = MLPClassifier((5,), solver="lbfgs", alpha=0.1, max_iter=2000, random_state=0)
    net.fit(X, y)
    embedding = FIEmbedding(FrozenEstimator(net)).fit(X, y)
    E = embedding.transform(V)
    expected = fi_active(net, X, y, V, aggregate="mean", curvature="auto")
    np.testing.assert_allclose((E**2).sum(axis=1), expected, rtol=1e-8)


def test_refusals():
    X, y, _, _, _ = make_split(3, n=60, n_val=30)
    for settings, message in [
        (dict(aggregate="trimmed_mean"), "'aggregate' parameter"),
        (dict(n_components=0), "'n_components' parameter"),
        (dict(validation_loss="hinge"), "validation_loss='hinge'"),
    ]:
        embedding = FIEmbedding(**settings)
        with pytest.raises(ValueError, match=message):
            embedding.fit(X, y)
        assert not [name for name in vars(embedding) if name.endswith("_")]
    with pytest.raises(ValueError, match="class"):
        FIEmbedding().fit(X, np.ones(60))


def test_zeros_where_l1_leaves_no_coefficient():
    """No parameter moves, every score is 0, and lengths are the scores."""
    X, y, V, _, _ = make_split(3, n=60, n_val=30)
    l1 = {"penalty": "l1"} if LogisticRegression().penalty == "l2" else {"l1_ratio": 1.0}
    model = LogisticRegression(C=1e-5, solver="saga", fit_intercept=False, **l1)
    embedding = FIEmbedding(model).fit(X, y)
    assert not embedding.estimator_.coef_.any()
    np.testing.assert_array_equal(embedding.transform(V), np.zeros((30, 1)))
    np.testing.assert_array_equal(fi_active(embedding.estimator_, X, y, V), np.zeros(30))
    assert embedding.n_components_ == 1
    np.testing.assert_array_equal(embedding.explained_variance_ratio_, [0.0])
