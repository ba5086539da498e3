"""FITrimmer: fit, score the training rows, drop the worst, fit again."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from .._utils._budget import budget_mass, check_budget, warn_of_many_steps
from .._utils._classes import warn_if_class_shrank, warn_of_spared
from .._utils._repeated import one_of_each
from .._utils._user_warnings import warn_user
from ._base import BaseTrimmer


class FITrimmer(BaseTrimmer):
    """Classifier that is trained without the rows that most distort its predictions.

    Fits the wrapped classifier, scores every training row by its influence on a
    validation set (FI^util), drops the rows with the highest scores and fits again on
    all others.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier to train: one with a bridge (`LogisticRegression`,
        `SGDClassifier(loss="log_loss")`, `MLPClassifier`, …, see `skfi.bridge.bridge`),
        or a Pipeline that ends in one; its rows are scored in the space the last step
        sees. A `skorch.NeuralNetClassifier` is fitted inside a
        `skfi.bridge.SkorchClassifier`, which casts rows to the module's dtype, encodes
        labels and seeds torch by `random_state`. Any other classifier with
        `influence_estimator`. None is ``LogisticRegression()``.
    budget : int or float, default=0.05
        How much to drop: a number of rows (int), or a share in [0, 1) of the rows
        passed to `fit`, rounded down. 0 drops nothing: `estimator_` is then the plain
        classifier on all rows. With sample weights, whole or partial copies: a row on
        the boundary loses only part of its weight.
    step : int or float or None, default=0.05
        How much to drop between scores, as in `sklearn.feature_selection.RFE`: a number
        of rows, or a share in (0, 1) of the rows passed to `fit`, rounded down and at
        least one. The rows that are left are fitted and scored again after each step.
        None, or a step as large as the budget, drops all at once.
    influence : str or callable, default="fi_signed"
        What rows are ordered by, the highest first. "fi" is FI^util, which has no sign;
        "fi_signed" is its root times what the row's removal takes off the validation
        loss, to first order (`removal_gain_`), so that rows that support the model
        stay. What it is compared with: "iv", "loss", "self_confidence", "knn_shapley",
        "tmc_shapley" or "random" (see `skfi.baselines`). A callable
        ``(estimator, X, y, X_val, y_val) -> scores`` gets the fitted classifier and
        returns one finite number a row (`X` has the checked rows that train as well, whose
        numbers are not used); those of ``sample_weight``,
        ``sample_weight_val``, ``groups``, ``validation_loss``, ``metric``,
        ``random_state``, ``n_jobs`` and ``verbose`` that it names as parameters are passed
        by keyword.
        "loss", "self_confidence" and "random" need no validation rows, and none are
        held out for them.
    influence_estimator : estimator or "leaves", default=None
        Classifier whose influence scores the rows, where skfi cannot compute it for
        `estimator` or another is to judge; `estimator` is then only fitted on what is left. A
        `FrozenEstimator` that was fitted on these rows is used as it is. None is
        `estimator` itself. "leaves" is for boosting, forests and decision trees, and Pipelines
        that end in one: a logistic regression (``C=0.1``) on the one-hot leaves of the first
        30 trees of a clone, of at most 31 leaves where they are scikit-learn's; fewer trees
        where there are many classes.
    influence_params : dict, default=None
        Further arguments of the score. For "fi", "fi_signed" and "iv" of a network those
        of `skfi.fi_util`: `params`, `perturbation`, `curvature`, `damping`, ….
    validation : float, int, cross-validation splitter or iterable, default=5
        The rows to score against. A float holds
        out that stratified share (these rows are not scored themselves, and are used
        again in the final fit). An int or a splitter cross-fits: each row is scored by
        the models that trained on it against the folds they left out, averaged; a
        fold's rows of a class that its model never saw are left out, and rows that are
        gone are no witnesses in later steps. An iterable yields pairs (train, test) of
        positions in `X`, or boolean masks.
    checked_rows : {"train", "folds", "judge"}, default="train"
        What the rows passed as `X_val`, whose labels people have checked, are used for. None
        of them is ever dropped or scored. With "train" they are split with the rows of `X`,
        so that they train and judge in the folds of `validation`, and the last fit includes
        them. With "folds" they do the same except for the last fit. With "judge" they are the
        only rows to score against and none is trained on, as in the paper's Algorithm 3; so
        it is with a `FrozenEstimator` that scores, whatever is set.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="expected_error"
        Loss on the validation rows, see `fi_util`. ``"expected_error"`` withstands
        wrong validation labels better than the paper's log loss.
    validation_class_weight : "balanced" or None, default=None
        "balanced" gives each class the same say in the validation loss, for scores that take
        `sample_weight_val`. Fewer rows of a rare class are then dropped: balanced accuracy
        rises, and accuracy falls.
    metric : {"euclidean", "mahalanobis"}, default="mahalanobis"
        Metric of the perturbations, see `fi_util`.
    min_class_size : int, default=1
        Rows of each class that are kept (copies, where the sample weights are whole
        numbers). Where the budget reaches the last ones of a class, they are kept, the rows
        with the next highest scores are dropped instead, and a warning names them.
    memory : str or joblib.Memory, default=None
        Cache of fits and scores: a search over `budget` then scores each fold once a
        step. Needs the same rows to be held out each time, so set `random_state`,
        cross-fit or pass `X_val`.
    n_jobs : int, default=None
        Jobs over the folds when cross-fitting.
    random_state : int, RandomState instance or None, default=None
        Which rows a float `validation` holds out, and what a random score draws.
    verbose : bool or int, default=0
        Print what was scored and dropped; with `step`, show a progress bar where tqdm
        is installed.

    Attributes
    ----------
    estimator_ : estimator
        Classifier fitted on the rows that were kept.
    initial_estimator_ : estimator
        Classifier the first scores were computed with, fitted on the rows that were not
        held out. Not there when cross-fitting, see `initial_estimators_`.
    initial_estimators_ : list of estimators
        The same as a list, one for each fold.
    influence_ : ndarray of shape (n,)
        Scores of the rows passed to `fit` when they were last computed: for dropped
        rows those by which they went. "fi" is non-negative, "fi_signed" positive where a
        row does harm. NaN where a row was held out and so not scored; 0 for rows of weight
        0.
    removal_gain_ : ndarray of shape (n,) or None
        What removing one copy takes off the validation loss, to first order
        (`skfi.baselines.iv`): positive where a row does harm. None where the score in
        use does not know.
    influence_details_ : list of InfluenceDetails or None
        Curvature, damping, parameters and gradient norm behind the first scores, one for
        each of `initial_estimators_`. None where the score in use does not tell.
    ranking_ : ndarray of int of shape (n,)
        1 for the row dropped first; kept rows follow by their last score, rows that
        were not scored share the last rank.
    support_ : ndarray of bool of shape (n,)
        Rows that were kept.
    sample_indices_ : ndarray of int of shape (n - `n_trimmed_`,)
        Positions of these rows in `X`, sorted, as imbalanced-learn's samplers have them.
    trimmed_indices_ : ndarray of shape (`n_trimmed_`,)
        Rows that were dropped, in the order they went.
    n_trimmed_ : int
        Number of rows that were dropped.
    sample_weight_ : ndarray of shape (n,) or None
        Weights of the final fit, 0 for dropped rows; None where none were passed.
    checked_rows_ : {"train", "folds", "judge"} or None
        What `X_val` was used for; None where none was passed.
    class_shares_ : ndarray of shape (2, K)
        Share of each class in the weight, before and after.
    classes_ : ndarray of shape (K,)
        Class labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    FITrimmerCV : Chooses the budget, 0 among the candidates.
    fi_util : The scores alone.

    Notes
    -----
    The defaults are what did best in the study of trimming, not the paper's form;
    that is ``FITrimmer(influence="fi", step=None, validation_loss="log_loss",
    metric="euclidean", checked_rows="judge")``.

    Trimming is not free: rows that look influential may be rare and right. Compare
    with ``budget=0`` on rows that were used for neither scoring nor choosing, or let
    `FITrimmerCV` do so.

    In a Pipeline, `X_val` passed as ``trim__X_val`` does not go through the steps
    before, unless metadata routing is on::

        trimmer = FITrimmer().set_fit_request(X_val=True, y_val=True)
        make_pipeline(StandardScaler(), trimmer, transform_input=["X_val"])

    GridSearchCV slices fit parameters that are as long as `X`; pass the one-tuple
    ``X_val=(X_val,)`` (and ``y_val=(y_val,)``) to keep them whole.

    References
    ----------
    :cite:t:`yu2025`, Section 3, Algorithms 1 and 3.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import FITrimmer
    >>> X, y = make_classification(300, random_state=0)
    >>> y[:15] = 1 - y[:15]  # wrong labels
    >>> trimmer = FITrimmer(LogisticRegression(), budget=15)
    >>> trimmer.fit(X, y).n_trimmed_
    15
    >>> int((trimmer.trimmed_indices_ < 15).sum())  # wrong labels among those dropped
    12
    """

    # check_budget says more than a type would.
    _parameter_constraints: dict = {
        **BaseTrimmer._parameter_constraints,
        "budget": "no_validation",
    }

    def __init__(
        self,
        estimator=None,
        *,
        budget=0.05,
        step=0.05,
        influence="fi_signed",
        influence_estimator=None,
        influence_params=None,
        validation=5,
        checked_rows="train",
        validation_loss="expected_error",
        validation_class_weight=None,
        metric="mahalanobis",
        min_class_size=1,
        memory=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.budget = budget
        self.step = step
        self.influence = influence
        self.influence_estimator = influence_estimator
        self.influence_params = influence_params
        self.validation = validation
        self.checked_rows = checked_rows
        self.validation_loss = validation_loss
        self.validation_class_weight = validation_class_weight
        self.metric = metric
        self.min_class_size = min_class_size
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
            Rows whose labels were checked, not in `X`; see `checked_rows`. A one-tuple
            ``(X_val,)`` is unpacked.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, in the mean of the validation loss and where they train; a weight
            of w counts as w copies, and none as one.
        **params : dict
            Passed on to the wrapped classifier's fit, and `groups` to the splitter and to
            a score that takes them; with metadata routing on, to whichever requests them.
            Values as long as `X` belong to its rows and are cut with them. Values that
            belong to other rows are passed whole: those whose names hold ``eval``,
            ``val``, ``valid`` or ``validation`` as a word (``eval_set``, ``eval_X``,
            ``validation_data``, …), and arrays in a one-tuple ``(array,)``.

        Returns
        -------
        self : FITrimmer
            The fitted trimmer. If an error is raised it is left as it was.

        Raises
        ------
        TypeError
            skfi cannot compute influence for the classifier that scores, or
            ``influence_estimator="leaves"`` and `estimator` has no trees that skfi can read.
        ValueError
            A budget of more rows than were scored and classes can spare, `X_val` without
            `y_val`, or data the classifier or the score refuse.

        Warns
        -----
        UserWarning
            More than half of a class was dropped, or its last rows were kept although the
            budget reached them; `groups` was passed, and `validation` is a number, which
            splits groups; `X_val` holds the rows of `X`, or weighs far more or less than them;
            `step` is less than a row's weight.
        """
        run = self._with_lists()
        task = run._task(X, y, sample_weight, X_val, y_val, sample_weight_val, params)
        check_budget(self.budget)
        mass = budget_mass(self.budget, task.weight)
        self._warn_if_step_is_larger()
        warn_of_many_steps(self.step, mass, task.weight)
        with one_of_each():
            path = run._walk(task, mass, n_jobs=self.n_jobs, verbose=self.verbose)
            removed = path.removed(mass)
            final = run._fit_kept(task, task.weight - removed)
        self._store(task, path, removed, final)
        spared = path.spared_by(mass)
        warn_of_spared(spared, task.y[spared], self.min_class_size)
        warn_if_class_shrank(task.codes, task.classes, task.weight, task.weight - removed)
        if self.verbose:
            scored = int((~np.isnan(self.influence_)).sum())
            print(
                f"[FITrimmer] scored {scored} of {len(task.y)} rows with "
                f"{len(path.models)} model(s); dropped {self.n_trimmed_}, kept "
                f"{int(self.support_.sum())}."
            )
        return self

    def _warn_if_step_is_larger(self) -> None:
        # Shares are left alone: a search over budgets has small ones with any step.
        counts = isinstance(self.step, Integral) and isinstance(self.budget, Integral)
        if counts and 0 < self.budget < self.step:
            warn_user(
                f"step={self.step} is larger than budget={self.budget}: all rows go at "
                "once, as with step=None.",
            )
