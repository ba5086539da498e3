"""Classifiers without a bridge: why, what to do instead, and all that before fitting."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OutputCodeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier

from skfi import FIActiveSampler, FIEmbedding, FITrimmer, fi_active, fi_util
from skfi.bridge import bridge
from skfi.bridge._base import require_bridge
from skfi.queries import Margin
from tests.conftest import classic, make_split

LOGISTIC = LogisticRegression()
REASONS = [
    (LinearDiscriminantAnalysis(), "joint likelihood .* moving a row moves them otherwise"),
    (QuadraticDiscriminantAnalysis(), "joint likelihood"),
    (GaussianNB(), "joint likelihood"),
    (CalibratedClassifierCV(LOGISTIC), "average calibrated models"),
    (SVC(), r"hinge loss .* Nystroem"),
    (NuSVC(), "hinge loss"),
    (LinearSVC(), r"hinge loss .* LogisticRegression is the nearest"),
    (RidgeClassifier(), "squared loss .* same penalty"),
    (DecisionTreeClassifier(), "piecewise constant"),
    (RandomForestClassifier(), "piecewise constant"),
    (HistGradientBoostingClassifier(), "piecewise constant"),
    (KNeighborsClassifier(), "piecewise constant"),
    (VotingClassifier([("a", LOGISTIC)]), "several classifiers"),
    (StackingClassifier([("a", LOGISTIC)]), "several classifiers"),
    (OutputCodeClassifier(LOGISTIC), "OneVsOneClassifier are supported"),
    (DummyClassifier(), "a classifier it can differentiate"),
]


@pytest.mark.parametrize(
    ("estimator", "reason"), REASONS, ids=lambda value: type(value).__name__
)
def test_reason_and_remedy_before_fitting(estimator, reason):
    name = type(estimator).__name__
    remedy = r"fit {} on those that are kept: pass influence_estimator=LogisticRegression\(\)"
    remedy = remedy.format(name)
    supported = r"Supported: .*LogisticRegression, .*OneVsOneClassifier, OneVsRestClassifier"
    reason = rf"skfi cannot compute influence for {name}: .*{reason}"
    for pattern in (reason, supported):
        with pytest.raises(TypeError, match=pattern):
            bridge(estimator)
    for pattern in (reason, remedy, supported):
        for unfitted in (
            estimator,
            make_pipeline(StandardScaler(), estimator),
            GridSearchCV(estimator, {}),
        ):
            with pytest.raises(TypeError, match=pattern):
                require_bridge(unfitted, "trimmer")


def test_subclass_is_refused_like_its_class():
    class Mine(LinearDiscriminantAnalysis):
        pass

    with pytest.raises(TypeError, match="influence for Mine: its parameters maximise"):
        require_bridge(Mine(), "trimmer")


def test_trimmer_and_scores_refuse():
    X, y, X_val, y_val, _ = make_split()
    model = LinearDiscriminantAnalysis().fit(X, y)
    with pytest.raises(TypeError, match="joint likelihood"):
        fi_util(model, X, y, X_val, y_val)
    with pytest.raises(TypeError, match="joint likelihood"):
        FITrimmer(LinearDiscriminantAnalysis()).fit(X, y)


FOREST = RandomForestClassifier(5, random_state=0)


@pytest.mark.parametrize("wrap", [lambda m: m, FrozenEstimator], ids=["plain", "frozen"])
def test_each_user_gets_advice_of_its_own(wrap):
    """A query is no trimming: whoever asks for rows to label is not sent to FITrimmer."""
    X, y, X_val, y_val, _ = make_split()
    fitted = wrap(clone(FOREST).fit(X, y))
    asked = {
        "Query by a supported classifier.* train RandomForestClassifier": [
            FIActiveSampler(fitted).fit,
        ],
        r"FIEmbedding\(estimator=LogisticRegression\(\)\)": [FIEmbedding(fitted).fit],
        "fitted on the same rows": [
            lambda X, y: fi_util(fitted, X, y, X_val, y_val),
            lambda X, y: fi_active(fitted, X, y, X_val),
        ],
    }
    for advice, calls in asked.items():
        for call in calls:
            with pytest.raises(TypeError, match=advice) as error:
                call(X, y)
            assert "FITrimmer" not in str(error.value)
            assert "has no bridge" not in str(error.value)


def test_advice_to_queries_works():
    X, y, X_val, y_val, _ = make_split()
    asked = FIActiveSampler(LOGISTIC, batch_size=5, random_state=0).fit(X, y).query(X_val)
    rows, labels = np.r_[X, X_val[asked]], np.r_[y, y_val[asked]]
    assert clone(FOREST).fit(rows, labels).predict(X_val).shape == (len(X_val),)
    assert Margin(FOREST).fit(X, y).query(X_val).shape == (1,)


@pytest.mark.parametrize("estimator", [LinearDiscriminantAnalysis(), RandomForestClassifier(5)])
def test_stand_in_works(estimator):
    X, y, X_val, y_val, _ = make_split()
    trimmer = classic(estimator, budget=5, influence_estimator=LogisticRegression())
    trimmer.fit(X, y, X_val=X_val, y_val=y_val)
    scores = fi_util(LogisticRegression().fit(X, y), X, y, X_val, y_val)
    np.testing.assert_array_equal(trimmer.trimmed_indices_, np.argsort(-scores)[:5])
    assert isinstance(trimmer.estimator_, type(estimator))


def test_remedy_of_calibration_works():
    X, y, X_val, _, _ = make_split()
    with pytest.raises(TypeError, match=r"CalibratedClassifierCV\(FITrimmer\(\)\)"):
        FITrimmer(CalibratedClassifierCV(LOGISTIC)).fit(X, y)
    model = CalibratedClassifierCV(FITrimmer(LOGISTIC, budget=5, random_state=0), cv=3)
    assert model.fit(X, y).predict_proba(X_val).shape == (len(X_val), 2)


def test_supported_ones_pass():
    for estimator in (LOGISTIC, make_pipeline(StandardScaler(), LOGISTIC)):
        require_bridge(estimator, "trimmer")


def test_networks_are_always_named():
    """Also where nothing of torch has been imported."""
    with pytest.raises(TypeError) as error:
        bridge(DummyClassifier())
    told = str(error.value).split("Supported: ")[1].split(" and hyper")[0].split(", ")
    assert {"MLPClassifier", "NeuralNetClassifier", "TorchClassifier"} <= set(told)
    assert "Module" not in told


def test_a_class_inside_a_pipeline():
    with pytest.raises(TypeError, match=r"is the class .*pass LogisticRegression\(\)"):
        require_bridge(make_pipeline(StandardScaler(), LogisticRegression), "trimmer")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_pipelines_that_resample():
    pipeline = pytest.importorskip("imblearn.pipeline")
    from imblearn.under_sampling import RandomUnderSampler

    X, y, X_val, y_val, _ = make_split()
    sampler = RandomUnderSampler(random_state=0)
    resampling = pipeline.make_pipeline(StandardScaler(), sampler, LOGISTIC)
    message = r"resamples its rows .*'randomundersampler'.*FITrimmer inside.* or pass an infl"
    with pytest.raises(TypeError, match=message):
        FITrimmer(resampling, budget=5).fit(X, y)
    with pytest.raises(TypeError, match=r"resamples its rows .*Resample the rows first"):
        fi_util(resampling.fit(X, y), X, y, X_val, y_val)
    with pytest.raises(TypeError, match=r"resamples its rows .*Query by the pipeline without"):
        FIActiveSampler(resampling).fit(X, y)
    with pytest.raises(TypeError, match=r"resamples its rows .*Pass the pipeline without"):
        FIEmbedding(resampling).fit(X, y)
    judged = FITrimmer(resampling, budget=5, influence_estimator=LOGISTIC).fit(X, y)
    assert judged.n_trimmed_ == 5
    inside = pipeline.make_pipeline(StandardScaler(), sampler, FITrimmer(LOGISTIC, budget=5))
    assert inside.fit(X, y)[-1].n_trimmed_ == 5
    plain = pipeline.make_pipeline(StandardScaler(), LOGISTIC)
    assert FITrimmer(plain, budget=5).fit(X, y).n_trimmed_ == 5
