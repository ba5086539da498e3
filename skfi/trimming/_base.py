"""What FITrimmer and FITrimmerCV share: checking the data, walking a path, delegating."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_method_params,
    _check_n_features,
    _num_samples,
    check_consistent_length,
    check_is_fitted,
    check_memory,
    indexable,
)

from .._utils._budget import step_mass
from .._utils._checks import (
    check_in_memory,
    check_weight,
    checked_labels,
    encode_labels,
    predicted_labels,
)
from .._utils._chunks import threads_to_fit
from .._utils._classes import class_shares
from .._utils._in_place import own_rows
from .._utils._progress import progress_bar
from .._utils._trained_rows import fit_on_own_rows
from .._utils._user_warnings import warn_user
from .._utils._versioned import VersionedState
from ..bridge._base import innermost, require_bridge
from ..bridge._refusals import check_classifier
from ..bridge._routing import keep_whole, routed_params, unwrapped
from ..bridge._skorch import adapt, given_or_default
from ..influence._validation import (
    Split,
    check_columns_alike,
    check_given,
    make_splits,
    warn_if_same_rows,
)
from ..linear._losses import resolve_validation_loss
from ._checked import (
    JoinedRows,
    check_checked_labels,
    check_no_values_by_row,
    join_splits,
    warn_if_out_of_proportion,
)
from ._leaves import check_trees, leaf_scorer
from ._methods import Method, resolve_method
from ._path import RemovalPath, removal_path
from ._reporting import ReportMixin, describe_rows, ranking
from ._scoring import ScoringPlan, score_splits
from ._task import Task


def estimator_has(name: str) -> Callable[[Any], bool]:
    """Delegate ``name`` where the fitted (else the given) classifier has it."""

    def check(self) -> bool:
        holder = getattr(self, "estimator_", None)
        if holder is None:
            holder = given_or_default(self.estimator)
        getattr(holder, name)  # its own AttributeError says more than ours would
        return True

    return check


class BaseTrimmer(
    VersionedState, ReportMixin, ClassifierMixin, MetaEstimatorMixin, BaseEstimator
):
    """Classifier that is trained without some of its rows."""

    _splitters: tuple[str, ...] = ("validation",)
    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "step": [Real, None],
        "influence": [str, callable],
        "influence_estimator": [HasMethods(["fit"]), StrOptions({"leaves"}), None],
        "influence_params": [dict, None],
        "validation": [Real, "cv_object"],
        "checked_rows": [StrOptions({"train", "folds", "judge"})],
        "validation_loss": [str, callable],
        "validation_class_weight": [StrOptions({"balanced"}), None],
        "min_class_size": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"euclidean", "mahalanobis"})],
        "memory": [str, HasMethods(["cache"]), None],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
    }

    def _with_lists(self):
        """A copy whose iterators are lists: splits and budgets are needed more than once."""
        copy = type(self)(**self.get_params(deep=False))
        if hasattr(self, "_metadata_request"):
            copy._metadata_request = self._metadata_request
        for name in (*self._splitters, "budgets"):
            value = getattr(self, name, None)
            if isinstance(value, Iterator):
                setattr(copy, name, list(value))
        return copy

    def _task(self, X, y, sample_weight, X_val, y_val, sample_weight_val, params) -> Task:
        """Everything that can be refused before time is spent."""
        check_classifier(self.estimator, "estimator")
        check_classifier(self.influence_estimator, "influence_estimator")
        self._validate_params()
        resolve_validation_loss(self.validation_loss)
        method = resolve_method(self.influence)
        method.check_params(self.influence_params)
        estimator = self._classifier()
        if isinstance(self.influence_estimator, str):
            check_trees(estimator)
        scorer = self._scorer(self.random_state)
        scores_by = estimator if scorer is None else scorer
        if method.needs_bridge:
            require_bridge(scores_by, "trimmer")
        frozen = isinstance(innermost(scores_by), FrozenEstimator)
        if frozen and self.step is not None:
            raise ValueError(
                f"step={self.step!r} fits influence_estimator again as rows go, and a "
                "FrozenEstimator never fits. Set step=None, or pass it unfrozen."
            )
        if frozen and method.needs_bridge and X_val is None:
            raise ValueError(
                "influence_estimator is a FrozenEstimator, which never fits: folds of X would "
                "score it against rows that it was trained on. Pass X_val and y_val to fit, or "
                "pass it unfrozen."
            )
        X, y, weight, weighted = self._check_rows(X, y, sample_weight)
        step_mass(self.step, weight)
        params = keep_whole(params)
        given = self._check_validation_set(scores_by, X, X_val, y_val, sample_weight_val)
        classes, codes = np.unique(y, return_inverse=True)
        role = None if given[0] is None else self._role(frozen and method.needs_bridge)
        if role in ("train", "folds"):
            check_no_values_by_row(params, len(y))
            y_val = check_checked_labels(given[1], classes, self)
            given = given[0], y_val, given[2]
            if weighted and given[2] is None:
                warn_if_out_of_proportion(weight)
        if len(classes) > 2 and not get_tags(self).classifier_tags.multi_class:
            raise ValueError(
                "Only binary classification is supported by "
                f"{type(estimator).__name__} with its settings. The type of the target "
                f"is multiclass ({len(classes)} classes)."
            )
        if params.get("groups") is not None and role != "judge":
            self._warn_of_groups(method)
        # Weights and parameters nobody takes are refused here as well.
        checked_weight = given[2] if role in ("train", "folds") else None
        any_weight = weight if weighted or checked_weight is not None else None
        routed_params(self, estimator, any_weight, params, scorer=scorer)
        return Task(
            estimator, scorer, method, X, y, weight, weighted, given, classes, codes, params,
            n_passed=len(y), role=role,
        )  # fmt: skip

    def _role(self, frozen: bool) -> str:
        """How the rows of `X_val` are used; a frozen model can be judged by them alone."""
        return "judge" if frozen else self.checked_rows

    def _classifier(self):
        if self.estimator is None:
            return LogisticRegression()
        if isinstance(innermost(self.estimator), FrozenEstimator):
            raise ValueError(
                f"{type(self).__name__} fits its classifier again without the rows it "
                "drops, and a FrozenEstimator never fits. Pass the classifier itself; to "
                "score a trained model as it is, use skfi.fi_util."
            )
        return adapt(self.estimator, self.random_state)

    def _scorer(self, random_state=None):
        """The classifier that scores the rows, None where it is the one that is trained."""
        if not isinstance(self.influence_estimator, str):
            return adapt(self.influence_estimator, random_state)
        return leaf_scorer(given_or_default(self.estimator), random_state)

    def _warn_of_groups(self, method: Method) -> None:
        """A number of folds, or a share, splits groups."""
        blind = [
            f"{name}={getattr(self, name)!r}"
            for name in self._splitters
            if isinstance(getattr(self, name), Real)
            and (name != "validation" or method.needs_validation)
        ]
        if blind:
            warn_user(
                f"groups was passed, and {' and '.join(blind)} splits by classes alone: rows "
                "of one group will judge each other. Pass a splitter that keeps groups "
                "together, such as StratifiedGroupKFold(5), in its place.",
            )

    def _check_rows(self, X, y, sample_weight):
        """X as it came, y, weights and whether any were passed."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the "
                "target y is None."
            )
        check_in_memory(X, "X")
        check_in_memory(y, "y")
        X, y = indexable(X, y)
        if _num_samples(X) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={getattr(X, 'shape', ())}) while a "
                "minimum of 1 is required."
            )
        check_consistent_length(X, y)
        y = checked_labels(y, self, "Pass the rows with a label alone.")
        check_classification_targets(y)
        weight = check_weight(sample_weight, X, "sample_weight")
        return X, y, weight, sample_weight is not None

    def _check_validation_set(self, scores_by, X, X_val, y_val, sample_weight_val):
        X_val, y_val, sample_weight_val = check_given(X_val, y_val, sample_weight_val)
        if X_val is not None:
            check_columns_alike(X, X_val, scores_by)
            warn_if_same_rows(X, X_val)
        return X_val, y_val, sample_weight_val

    def _walk(self, task: Task, mass: float, *, n_jobs=None, verbose: int = 0) -> RemovalPath:
        """Remove rows up to ``mass``, scoring again after each step."""
        rows = task if task.joined is None else task.joined
        splits, given = self._splits(task), task.given
        if task.joined is None and not task.method.needs_validation:
            given = (None, None, None)
        n_own = len(task.y)
        plan = ScoringPlan(
            task.estimator if task.scorer is None else task.scorer,
            task.method,
            {
                "validation_loss": self.validation_loss,
                "metric": self.metric,
                "random_state": self.random_state,
                "n_jobs": n_jobs,
                "verbose": verbose,
            }
            | task.method.check_params(self.influence_params),
            splits,
            given,
            task.prefit and task.scorer is None,
            rows.params.get("groups"),
            task.classes,
            self.validation_class_weight == "balanced",
            n_own if task.joined is not None else None,
        )
        cached = check_memory(self.memory).cache(score_splits, ignore=["n_jobs"])

        def score(left, before):
            left = np.concatenate([left, rows.weight[n_own:]])
            params = self._routed(task, rows, left).scorer
            present = (left > 0) | (rows.weight == 0)
            data = rows.X, rows.y, rows.codes, params
            return cached(plan, *data, present, before, n_jobs=n_jobs).first(n_own)

        with progress_bar(mass, type(self).__name__, verbose and self.step) as report:
            return removal_path(
                score,
                task.weight,
                task.codes,
                len(task.classes),
                mass,
                step_mass(self.step, task.weight),
                self.min_class_size,
                report,
            )

    def _splits(self, task: Task) -> list[Split] | None:
        """Who judges whom; None where the given rows judge, or none are needed."""
        if not task.method.needs_validation or task.role == "judge":
            return None
        split_params = {}
        if not isinstance(self.validation, Real):  # numbers know of no groups
            split_params = self._routed(task, task, task.weight).splitter
        splits = make_splits(
            self.validation,
            task.X,
            task.codes,
            task.weight,
            self.random_state,
            split_params,
            task.rows,
            task.n_passed,
        )
        if task.joined is None:
            return splits
        n_own = len(task.y)
        return join_splits(splits, n_own, task.joined.codes[n_own:])

    def _routed(self, task: Task, rows: Task | JoinedRows, weight: np.ndarray):
        return routed_params(
            self,
            task.estimator,
            weight if rows.weighted else None,
            rows.params,
            scorer=task.scorer,
        )

    def _fit_kept(self, task: Task, kept_weight: np.ndarray, *, checked: bool | None = None):
        """The classifier, fitted on what is left, and on the checked rows if they train."""
        if task.prefit and (kept_weight == task.weight).all():
            return task.estimator
        rows: Task | JoinedRows = task
        if task.joined is not None and (task.role == "train" if checked is None else checked):
            rows = task.joined
            kept_weight = np.concatenate([kept_weight, rows.weight[len(task.y) :]])
        params = self._routed(task, rows, kept_weight).estimator
        kept = (kept_weight > 0) | (rows.weight == 0)
        if kept.all():
            with threads_to_fit(rows.X):
                params = unwrapped(params)
                return fit_on_own_rows(clone(task.estimator), rows.X, rows.y, **params)
        left = np.flatnonzero(kept)
        params = _check_method_params(rows.X, params, indices=left)
        X = _safe_indexing(rows.X, left)
        with threads_to_fit(X):
            return clone(task.estimator).fit(X, rows.y[left], **unwrapped(params))

    def _store(self, task: Task, path: RemovalPath, removed: np.ndarray, final) -> None:
        """Set what is fitted; nothing before this point touches the object."""
        kept_weight = task.weight - removed
        support = (kept_weight > 0) | (task.weight == 0)
        order = path.order(removed)
        trimmed = order[~support[order]]
        facts = describe_rows(final, task.X, task.y, trimmed)
        classes = np.asarray(getattr(final, "classes_", task.classes))
        codes, n_classes = task.codes, len(task.classes)
        if set(task.classes.tolist()) <= set(classes.tolist()):  # maybe more, in another order
            codes, n_classes = encode_labels(task.y, classes, "y"), len(classes)
        before = class_shares(codes, task.weight, n_classes)
        after = class_shares(codes, kept_weight, n_classes)

        _check_feature_names(self, task.X, reset=True)
        _check_n_features(self, task.X, reset=True)
        self.estimator_ = final
        self.initial_estimators_ = path.models
        if len(path.models) == 1:
            self.initial_estimator_ = path.models[0]
        elif hasattr(self, "initial_estimator_"):
            del self.initial_estimator_
        # A row without weight has no influence; the others without a score were held out.
        self.influence_ = np.where(task.weight == 0, 0.0, path.influence)
        self.influence_details_ = path.details
        self.removal_gain_ = path.gain
        self.support_ = support
        self.ranking_ = ranking(path, support)
        self.trimmed_indices_ = trimmed
        self.n_trimmed_ = len(trimmed)
        self.sample_weight_ = kept_weight if task.weighted else None
        self.classes_ = classes
        self.class_shares_ = np.stack([before, after])
        self.checked_rows_ = task.role
        self._facts = facts

    @property
    def sample_indices_(self) -> np.ndarray:
        """Rows that were kept, sorted, under the name that imbalanced-learn's samplers use."""
        return np.flatnonzero(self.support_)

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
        rows = self.sample_indices_
        X, y = indexable(X, y)
        return _safe_indexing(X, rows), _safe_indexing(y, rows)

    @available_if(estimator_has("predict"))
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
        return predicted_labels(self.estimator_, X)

    @available_if(estimator_has("predict_proba"))
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
        return self.estimator_.predict_proba(own_rows(self.estimator_, X))

    @available_if(estimator_has("predict_log_proba"))
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
        return self.estimator_.predict_log_proba(own_rows(self.estimator_, X))

    @available_if(estimator_has("decision_function"))
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
        return self.estimator_.decision_function(own_rows(self.estimator_, X))

    def get_metadata_routing(self):
        """Metadata routing of this object, consumer and router at once.

        Returns
        -------
        routing : MetadataRouter
            Requests of the trimmer, its classifiers and its splitter.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        fit = MethodMapping().add(caller="fit", callee="fit")
        estimator = given_or_default(self.estimator)
        router.add(estimator=estimator, method_mapping=fit)
        if self.influence_estimator is not None:
            scorer = self._scorer()
            router.add(influence_estimator=scorer, method_mapping=fit)
        if hasattr(self.validation, "split"):  # an iterator must not be gone through here
            router.add(
                splitter=self.validation,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        return router

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(given_or_default(self.estimator))
        both = [inner.input_tags]
        if self.influence_estimator is not None and not isinstance(
            self.influence_estimator, str
        ):
            both.append(get_tags(adapt(self.influence_estimator)).input_tags)
        for name in ("sparse", "allow_nan", "string", "categorical"):
            setattr(tags.input_tags, name, all(getattr(seen, name) for seen in both))
        if inner.classifier_tags is not None:
            tags.classifier_tags = inner.classifier_tags
            tags.classifier_tags.multi_label = False
        return tags
