"""FITrimmer: fit, score the training rows, drop the worst, fit again."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_method_params,
    _check_n_features,
    _check_y,
    _num_samples,
    check_consistent_length,
    check_is_fitted,
    check_memory,
    indexable,
)

from ._budget import budget_mass, check_budget, choose_rows
from ._scoring import routed_params, score_splits
from ._validation import check_given, make_splits
from .bridge._base import innermost, require_bridge
from .influence import check_weight
from .kernels._losses import resolve_validation_loss


def _estimator_has(name):
    """Delegate ``name`` where the fitted (else the given) classifier has it."""

    def check(self):
        holder = getattr(self, "estimator_", self.estimator)
        if holder is None:
            holder = LogisticRegression()
        getattr(holder, name)  # its own AttributeError says more than ours would
        return True

    return check


class FITrimmer(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier that is trained without the rows that most distort its predictions.

    Fits the wrapped classifier, scores every training row by its influence on a
    validation set (FI^util), drops the rows with the highest scores and fits again on
    all others.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier to train: one with a bridge (`LogisticRegression`,
        `SGDClassifier(loss="log_loss")`, …, see `skfi.bridge.bridge`), or a Pipeline
        that ends in one; its rows are scored in the space the last step sees. None is
        ``LogisticRegression()``.
    budget : int or float, default=0.05
        How much to drop: a number of rows (int), or a share in [0, 1) of the rows
        passed to `fit`, rounded down. 0 drops nothing: `estimator_` is then the plain
        classifier on all rows. With sample weights, whole or partial copies: a row on
        the boundary loses only part of its weight.
    validation : float, int or cross-validation splitter, default=0.2
        The rows to score against, unless `X_val` is passed to `fit`. A float holds
        out that stratified share (these rows are not scored themselves, and are used
        again in the final fit). An int or a splitter cross-fits: each row is scored by
        the models that trained on it against the folds they left out, averaged; a
        fold's rows of a class that its model never saw are left out.
    validation_loss : {"log_loss", "expected_error"} or callable, default="log_loss"
        Loss on the validation rows, see `fi_util`. ``"expected_error"`` withstands
        wrong validation labels better.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Metric of the perturbations, see `fi_util`.
    memory : str or joblib.Memory, default=None
        Cache of fits and scores: a search over `budget` then scores each fold once.
        Needs the same rows to be held out each time, so set `random_state`, cross-fit
        or pass `X_val`.
    n_jobs : int, default=None
        Jobs over the folds when cross-fitting.
    random_state : int, RandomState instance or None, default=None
        Which rows a float `validation` holds out.
    verbose : bool or int, default=0
        Print what was scored and dropped.

    Attributes
    ----------
    estimator_ : estimator
        Classifier fitted on the rows that were kept.
    initial_estimator_ : estimator
        Classifier the scores were computed with, fitted on the rows that were not held
        out. Not there when cross-fitting, see `initial_estimators_`.
    initial_estimators_ : list of estimators
        The same as a list, one for each fold.
    influence_ : ndarray of shape (n,)
        FI^util of the rows passed to `fit`, non-negative; NaN where a row was held out
        and so not scored.
    support_ : ndarray of bool of shape (n,)
        Rows that were kept.
    trimmed_indices_ : ndarray of shape (n_trimmed_,)
        Rows that were dropped, highest influence first.
    n_trimmed_ : int
        Number of rows that were dropped.
    sample_weight_ : ndarray of shape (n,) or None
        Weights of the final fit, 0 for dropped rows; None where none were passed.
    classes_ : ndarray of shape (K,)
        Class labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where `X` has string column names.

    See Also
    --------
    fi_util : The scores alone.

    Notes
    -----
    Trimming is not free: rows that look influential may be rare and right. Compare
    with ``budget=0`` on rows that were used for neither scoring nor choosing, e.g. by
    ``GridSearchCV(FITrimmer(...), {"budget": [0, 0.01, 0.05]})``.

    In a Pipeline, `X_val` passed as ``trim__X_val`` does not go through the steps
    before, unless metadata routing is on::

        trimmer = FITrimmer().set_fit_request(X_val=True, y_val=True)
        make_pipeline(StandardScaler(), trimmer, transform_input=["X_val"])

    GridSearchCV slices fit parameters that are as long as `X`; pass the one-tuple
    ``X_val=(X_val,)`` (and ``y_val=(y_val,)``) to keep them whole.

    References
    ----------
    "Enhancing Training Robustness through Influence Measure" (published as
    "Enhancing Prediction Performance through Influence Measure", ICLR 2025),
    Section 3, Algorithms 1 and 3.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import FITrimmer
    >>> X, y = make_classification(300, random_state=0)
    >>> y[:15] = 1 - y[:15]  # wrong labels
    >>> trimmer = FITrimmer(
    ...     LogisticRegression(),
    ...     budget=15,
    ...     validation=5,
    ...     validation_loss="expected_error",
    ... )
    >>> trimmer.fit(X, y).n_trimmed_
    15
    >>> int((trimmer.trimmed_indices_ < 15).sum())  # wrong labels among those dropped
    11
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "budget": [Real],
        "validation": [Real, "cv_object"],
        "validation_loss": [str, callable],
        "metric": [StrOptions({"euclidean", "mahalanobis"})],
        "memory": [str, HasMethods(["cache"]), None],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        budget=0.05,
        validation=0.2,
        validation_loss="log_loss",
        metric="euclidean",
        memory=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.budget = budget
        self.validation = validation
        self.validation_loss = validation_loss
        self.metric = metric
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        **params,
    ):
        """Fit, score, drop the rows with the highest influence, and fit again.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
            Training rows.
        y : array-like of shape (n,)
            Labels.
        sample_weight : array-like of shape (n,), default=None
            Row weights; a weight of w counts as w copies, in training, scoring and
            budget. The wrapped classifier must take them.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows to score against, in place of those `validation` would hold out. A
            one-tuple ``(X_val,)`` is unpacked.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights in the mean of the validation loss.
        **params : dict
            Passed on to the wrapped classifier's fit, and `groups` to the splitter;
            with metadata routing on, to whichever requests them.

        Returns
        -------
        self : FITrimmer
            The fitted trimmer. If an error is raised it is left as it was.

        Raises
        ------
        TypeError
            The wrapped classifier has no bridge.
        ValueError
            A budget that leaves no rows or takes a whole class, `X_val` without
            `y_val`, or data the classifier or `fi_util` refuse.
        """
        self._validate_params()
        resolve_validation_loss(self.validation_loss)
        estimator = self._classifier()
        require_bridge(estimator)
        X, y, weight, weighted = self._check_rows(X, y, sample_weight)
        check_budget(self.budget)
        mass = budget_mass(self.budget, weight)
        given = self._check_validation_set(X, X_val, y_val, sample_weight_val)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) > 2 and not get_tags(self).classifier_tags.multi_class:
            raise ValueError(
                "Only binary classification is supported by "
                f"{type(estimator).__name__} with its settings. The type of the target "
                f"is multiclass ({len(classes)} classes)."
            )
        routed = routed_params(self, estimator, weight if weighted else None, params)

        splits = None
        if given[0] is None:
            splits = make_splits(
                self.validation, X, codes, weight, self.random_state, routed.splitter
            )
        score = check_memory(self.memory).cache(score_splits, ignore=["n_jobs"])
        influence, models = score(
            estimator,
            X,
            y,
            routed.estimator,
            splits,
            given,
            self.validation_loss,
            self.metric,
            n_jobs=self.n_jobs,
        )
        influence = np.where(weight > 0, influence, np.nan) if weighted else influence
        trimming = choose_rows(influence, weight, codes, classes, mass)
        kept_weight = weight - trimming.removed
        final = self._fit_kept(estimator, X, y, kept_weight, weighted, weight, params)
        support = (kept_weight > 0) | (weight == 0)

        _check_feature_names(self, X, reset=True)
        _check_n_features(self, X, reset=True)
        self.estimator_ = final
        self.initial_estimators_ = models
        if len(models) == 1:
            self.initial_estimator_ = models[0]
        elif hasattr(self, "initial_estimator_"):
            del self.initial_estimator_
        self.influence_ = influence
        self.support_ = support
        self.trimmed_indices_ = trimming.order[~support[trimming.order]]
        self.n_trimmed_ = len(self.trimmed_indices_)
        self.sample_weight_ = kept_weight if weighted else None
        self.classes_ = getattr(final, "classes_", classes)
        if self.verbose:
            scored = int((~np.isnan(influence)).sum())
            print(
                f"[FITrimmer] scored {scored} of {len(y)} rows with {len(models)} "
                f"model(s); dropped {self.n_trimmed_}, kept {int(support.sum())}."
            )
        return self

    def _classifier(self):
        if self.estimator is None:
            return LogisticRegression()
        if isinstance(innermost(self.estimator), FrozenEstimator):
            raise ValueError(
                "FITrimmer fits its classifier again without the rows it drops, and a "
                "FrozenEstimator never fits. Pass the classifier itself; to score a "
                "trained model as it is, use skfi.fi_util."
            )
        return self.estimator

    def _check_rows(self, X, y, sample_weight):
        """X as it came, y, weights and whether any were passed."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the "
                "target y is None."
            )
        X, y = indexable(X, y)
        if _num_samples(X) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={getattr(X, 'shape', ())}) while a "
                "minimum of 1 is required."
            )
        check_consistent_length(X, y)
        y = _check_y(y, estimator=self)
        check_classification_targets(y)
        weight = check_weight(sample_weight, X, "sample_weight")
        return X, y, weight, sample_weight is not None

    def _check_validation_set(self, X, X_val, y_val, sample_weight_val):
        X_val, y_val, sample_weight_val = check_given(X_val, y_val, sample_weight_val)
        if X_val is not None:
            # Against X, without touching this object before the fit has succeeded.
            columns = BaseEstimator()
            _check_feature_names(columns, X, reset=True)
            _check_n_features(columns, X, reset=True)
            try:
                _check_feature_names(columns, X_val, reset=False)
                _check_n_features(columns, X_val, reset=False)
            except ValueError as error:
                raise ValueError(
                    f"X_val must have the columns of X in the same order. {error}"
                ) from error
        return X_val, y_val, sample_weight_val

    def _fit_kept(self, estimator, X, y, kept_weight, weighted, weight, params):
        final_weight = kept_weight if weighted else None
        routed = routed_params(self, estimator, final_weight, params).estimator
        kept = (kept_weight > 0) | (weight == 0)
        if kept.all():
            return clone(estimator).fit(X, y, **routed)
        rows = np.flatnonzero(kept)
        routed = _check_method_params(X, routed, indices=rows)
        return clone(estimator).fit(_safe_indexing(X, rows), y[rows], **routed)

    def fit_resample(self, X, y, **params):
        """Fit, and return the rows that were kept, as imbalanced-learn's samplers do.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
            Training rows.
        y : array-like of shape (n,)
            Labels.
        **params : dict
            Passed on to `fit`.

        Returns
        -------
        X_resampled : of the type of X, of shape (n_kept, n_features)
            Rows that were kept, in order.
        y_resampled : of the type of y, of shape (n_kept,)
            Their labels.
        """
        self.fit(X, y, **params)
        rows = np.flatnonzero(self.support_)
        X, y = indexable(X, y)
        return _safe_indexing(X, rows), _safe_indexing(y, rows)

    @available_if(_estimator_has("predict"))
    def predict(self, X):
        """Predict class labels with the classifier fitted on the kept rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Class labels.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities with the classifier fitted on the kept rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, K)
            Probabilities, columns as in `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Predict log probabilities with the classifier fitted on the kept rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, K)
            Log probabilities, columns as in `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Scores of the classifier fitted on the kept rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, K)
            Decision values; for two classes those of ``classes_[1]``.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    def get_metadata_routing(self):
        """Metadata routing of this object, consumer and router at once.

        Returns
        -------
        routing : MetadataRouter
            Requests of the trimmer, its classifier and its splitter.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(
            estimator=self.estimator if self.estimator is not None else LogisticRegression(),
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )
        if not isinstance(self.validation, Real):
            router.add(
                splitter=check_cv(self.validation),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        return router

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator if self.estimator is not None else LogisticRegression())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.string = inner.input_tags.string
        tags.input_tags.categorical = inner.input_tags.categorical
        if inner.classifier_tags is not None:
            tags.classifier_tags = inner.classifier_tags
            tags.classifier_tags.multi_label = False
        return tags
