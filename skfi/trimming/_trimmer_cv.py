"""FITrimmerCV: how many rows to drop is a question for held-out rows.

Every budget is a prefix of one removal path, so that a fold is scored once whatever the
number of candidates; only the refits cannot be shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from numbers import Integral, Real
from time import perf_counter

import numpy as np
from joblib import effective_n_jobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import check_scoring
from sklearn.metrics._scorer import _BaseScorer
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, check_is_fitted

from .._utils._budget import budget_mass, check_budget, warn_of_many_steps
from .._utils._classes import warn_if_class_shrank, warn_of_spared
from .._utils._in_place import own_rows
from .._utils._progress import parts_of, progress_bar
from .._utils._repeated import one_of_each
from .._utils._user_warnings import warn_user
from ..bridge._routing import unwrapped
from ..influence._validation import checked_splits, fixed_splits, hold_out, shown_splitter
from ._base import BaseTrimmer
from ._budget_curve import accuracy_curve, as_results, masses_of, warn_of_gaps, work_of
from ._path import RemovalPath
from ._task import Task, folds_of_both

_TIE = 1e-10  # mean scores this close are equal: sums of the same numbers in other orders


def _with_role(fold: Task, role: str | None) -> Task:
    """The fold with the role of its checked rows changed, if it has any."""
    return fold if fold.role is None else replace(fold, role=role)


class FITrimmerCV(BaseTrimmer):
    """Classifier trained without harmful rows, as many as held-out rows say are too many.

    Each fold is scored along one path of removals, every budget is a prefix of it, and
    the classifier is fitted for each budget and judged on the rows left out. 0 is
    always a candidate and ties go to the smallest budget, so that nothing is dropped
    where dropping does not help. The result is that of
    ``GridSearchCV(FITrimmer(...), {"budget": budgets})`` for a fraction of its cost.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier to train, see `FITrimmer`.
    budgets : iterable of int or float, \
            default=(0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
        Candidates, numbers of rows (int) or shares in [0, 1) of the rows of a fit
        (float). 0 is added where it is not among them.
    cv : int, float, cross-validation splitter, iterable or "prefit", default=5
        Which rows choose. An int is a number of stratified folds, a float the share that
        is held out once. They are taken from `X` and from `X_val`, where it is passed to
        `fit`; with ``checked_rows="judge"`` from `X_val` alone, whose other rows then score.
        With "prefit", `estimator` is
        fitted already, on the `X` and `y` passed to `fit`; it gives the first scores,
        and all of `X_val` both scores and chooses, which is warned about.
    scoring : str, callable or None, default=None
        What is maximised; None is the classifier's `score`, its accuracy.
    rule : {"best", "one_standard_error"}, default="best"
        Take the budget of the highest mean score, or the smallest one whose mean lies
        within one standard error (over the folds) of it.
    step : int or float or None, default=0.05
        How much to drop between scores, see `FITrimmer`.
    refit : bool, default=True
        Fit on all rows of `X` with the chosen budget. False keeps the classifier of the
        only fold, and is refused with several; with "prefit" it must be False. The rows of
        `X` that the fold holds out are then neither scored nor dropped: they are among the
        kept rows of `support_`, although `estimator_` was not trained on them.
    influence : str or callable, default="fi_signed"
        What rows are ordered by, see `FITrimmer`.
    influence_estimator : estimator or "leaves", default=None
        Classifier that scores the rows, see `FITrimmer`.
    influence_params : dict, default=None
        Further arguments of the score, see `FITrimmer`.
    validation : float, int, cross-validation splitter or iterable, default=5
        Rows within a fold to score against, see `FITrimmer`. Splits that are fixed
        beforehand, as pairs or a `PredefinedSplit`, are positions in the `X` that is passed
        to `fit`; a fold uses those of its rows.
    checked_rows : {"auto", "train", "folds", "judge"}, default="auto"
        What `X_val` is used for, see `FITrimmer`. "auto" is "train", unless the last fit
        does better on the held-out rows without them, by more than a standard error over
        the folds: then it is "folds". Held-out checked rows count twice in the choice, as
        their labels are right.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="expected_error"
        Loss on the validation rows, see `fi_util`.
    validation_class_weight : "balanced" or None, default=None
        Weights of the classes in the validation loss, see `FITrimmer`.
    metric : {"euclidean", "mahalanobis"}, default="mahalanobis"
        Metric of the perturbations, see `fi_util`.
    min_class_size : int, default=1
        Rows of each class that are kept, see `FITrimmer`.
    memory : str or joblib.Memory, default=None
        Cache of fits and scores.
    n_jobs : int, default=None
        Jobs over the folds.
    random_state : int, RandomState instance or None, default=None
        Which rows a float `cv` or `validation` holds out, and what a random score draws.
    verbose : bool or int, default=0
        Print the choice to stdout, and show progress bars of the folds and of the last path
        on stderr, where tqdm is installed.

    Attributes
    ----------
    budget_ : int or float
        The chosen candidate.
    best_score_ : float
        Its mean score over the folds.
    best_index_ : int
        Its place in `cv_results_`.
    best_params_ : dict
        ``{"budget": budget_}``.
    cv_results_ : dict of ndarrays of shape (n_budgets,)
        As GridSearchCV's: ``params``, ``param_budget``, ``split0_test_score``, …,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``, and times of the
        refits and their scores. A budget of more rows than a fold can drop is NaN.
    log_losses_ : ndarray of shape (n_budgets,)
        Mean log loss on the held-out rows, by budget; NaN for a classifier without
        probabilities.
    scorer_ : callable
        Scorer of the held-out rows.
    n_splits_ : int
        Number of folds.
    estimator_, initial_estimator_, initial_estimators_, influence_, \
            influence_details_, removal_gain_, ranking_, support_, sample_indices_, \
            trimmed_indices_, n_trimmed_, sample_weight_, class_shares_, classes_, \
            n_features_in_, feature_names_in_
        As in `FITrimmer`, of the fit with the chosen budget.

    See Also
    --------
    FITrimmer : One given budget.

    Notes
    -----
    `best_score_` is the highest of several and so a little too good; judge the result on
    rows that took no part, e.g. by ``cross_val_score(FITrimmerCV(...), X, y)``.

    Where labels are wrong in `X`, they are wrong in its folds as well. Pass rows with
    checked labels as `X_val` if there are some.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi import FITrimmerCV
    >>> X, y = make_classification(300, random_state=0)
    >>> y[:60] = 1 - y[:60]  # wrong labels
    >>> trimmer = FITrimmerCV(budgets=(0, 0.1, 0.2), cv=3).fit(X, y)
    >>> trimmer.cv_results_["mean_test_score"].shape
    (3,)
    >>> trimmer.budget_ in (0, 0.1, 0.2)
    True
    """

    _splitters = ("cv", "validation")
    _parameter_constraints: dict = {
        **BaseTrimmer._parameter_constraints,
        "budgets": "no_validation",  # _candidates says more
        "cv": [
            "cv_object",
            StrOptions({"prefit"}),
            Interval(Real, 0.0, 1.0, closed="neither"),
        ],
        "scoring": [str, callable, None],
        "rule": [StrOptions({"best", "one_standard_error"})],
        "refit": ["boolean"],
        "checked_rows": [StrOptions({"auto", "train", "folds", "judge"})],
    }

    def __init__(
        self,
        estimator=None,
        *,
        budgets=(0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4),
        cv=5,
        scoring=None,
        rule="best",
        step=0.05,
        refit=True,
        influence="fi_signed",
        influence_estimator=None,
        influence_params=None,
        validation=5,
        checked_rows="auto",
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
        self.budgets = budgets
        self.cv = cv
        self.scoring = scoring
        self.rule = rule
        self.step = step
        self.refit = refit
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
        """Choose the budget on held-out rows, and fit with it.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
            Training rows.
        y : array-like of shape (n,)
            Labels.
        sample_weight : array-like of shape (n,), default=None
            Row weights, see `FITrimmer.fit`.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows whose labels were checked, not in `X`; see `checked_rows`.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, in the validation loss, in the scoring and where they train.
        **params : dict
            Further parameters of the fit, see `FITrimmer.fit`; `groups` reaches `cv` as well.

        Returns
        -------
        self : FITrimmerCV
            The fitted trimmer. If an error is raised it is left as it was.

        Raises
        ------
        TypeError
            skfi cannot compute influence for the classifier that scores.
        ValueError
            Budgets, or settings of `cv` and `refit`, that contradict each other, a fold that
            trains on one class only, or data that the classifier or the score refuses.

        Warns
        -----
        UserWarning
            The same rows score and choose, a fold cannot drop as many rows as a budget
            asks for, `step` is larger than every budget, or a case of `FITrimmer.fit`.
        """
        run = self._with_lists()
        if not isinstance(run.random_state, Integral):
            # One draw for all folds and the last fit, whatever their order.
            run.random_state = int(check_random_state(run.random_state).randint(2**31 - 1))
        task = run._task(X, y, sample_weight, X_val, y_val, sample_weight_val, params)
        budgets = run._candidates(task)
        folds, scorer = run._folds(task)
        warn_of_many_steps(self.step, np.nanmax(masses_of(task, budgets)), task.weight)
        with one_of_each():
            curves = run._curves(folds, budgets, scorer)
        scores = np.array([curve[0] for curve in curves]).T  # (budgets, folds)
        warn_of_gaps(scores, budgets, curves)
        best = self._choose(scores, budgets, task)
        if task.joined is not None:
            with one_of_each():
                without = run._without_checked(
                    folds, curves, budgets[best], scores[best], scorer
                )
            task = replace(task, role="folds") if without else task
        fold = task if self.refit else _with_role(folds[0][0], task.role)
        with one_of_each():
            path, index = run._final_path(fold, budgets, best, curves)
            mass = budget_mass(budgets[index], fold.weight)
            kept_weight = fold.weight - path.removed(mass)
            started = perf_counter()
            final = run._fit_kept(fold, kept_weight)
            took = perf_counter() - started
        if fold.rows is not None:  # positions are those of the X that was passed
            path = path.within(fold.rows, len(task.y))

        self._store(task, path, path.removed(mass), final)
        self.budget_ = budgets[index]
        self.best_index_ = index
        self.best_params_ = {"budget": budgets[index]}
        self.best_score_ = float(scores[index].mean())
        self.cv_results_ = as_results(budgets, scores, curves)
        self.log_losses_ = np.array([curve[3] for curve in curves]).mean(axis=0)
        self.scorer_ = scorer
        self.n_splits_ = len(folds)
        self.refit_time_ = took
        spared = path.spared_by(mass)
        warn_of_spared(spared, task.y[spared], self.min_class_size)
        warn_if_class_shrank(fold.codes, fold.classes, fold.weight, kept_weight)
        if self.verbose:
            print(
                f"[FITrimmerCV] budget {self.budget_} of {budgets}: mean score "
                f"{self.best_score_:.4f}, {scores[budgets.index(0)].mean():.4f} without "
                f"trimming; dropped {self.n_trimmed_} of {len(fold.y)} rows."
            )
        return self

    def _curves(self, folds: list, budgets: list, scorer) -> list[tuple]:
        """`accuracy_curve` of every fold; a bar counts the rows of all paths, and refits."""
        work = [sum(work_of(self, fold, masses_of(fold, budgets))) for fold, _ in folds]
        jobs = [
            (self, fold, test, budgets, scorer, f"Fold {k} of {len(folds)} of cv")
            for k, (fold, test) in enumerate(folds, start=1)
        ]
        title = f"{type(self).__name__}, folds"
        with progress_bar(sum(work), title, self.verbose, unit=None) as report:
            if effective_n_jobs(self.n_jobs) == 1:
                with parts_of(report):
                    return [accuracy_curve(*job) for job in jobs]
            # Not every backend can hand out results one by one.
            parallel = Parallel(
                self.n_jobs, return_as="list" if report is None else "generator"
            )
            curves = []
            for curve in parallel(delayed(accuracy_curve)(*job) for job in jobs):
                curves.append(curve)
                if report is not None:
                    report(sum(work[: len(curves)]))
        return curves

    def _candidates(self, task: Task) -> list:
        given = self.budgets
        budgets = list(given) if isinstance(given, Iterable) else []
        if not budgets or isinstance(given, str):
            raise ValueError(
                f"budgets={given!r} must be a list of at least one number of rows or share, "
                "such as (0, 0.05, 0.1)."
            )
        for budget in budgets:
            check_budget(budget)
            budget_mass(budget, task.weight)
        # An int and a float may mean the same; 0 and 0.0 do.
        budgets = list(dict.fromkeys(budgets))
        if 0 not in budgets:
            budgets = [0, *budgets]
        largest = max(budgets, key=lambda budget: budget_mass(budget, task.weight))
        # A share of the rows and a number of rows do not contradict each other.
        alike = isinstance(self.step, Integral) == isinstance(largest, Integral)
        if self.step is not None and alike and 0 < largest < self.step:
            warn_user(
                f"step={self.step} is larger than every budget (the largest is "
                f"{largest}): all rows go at once, as with step=None.",
            )
        return budgets

    def _folds(self, task: Task):
        """Pairs of a task to walk and rows to judge by; the scorer."""
        scorer = check_scoring(task.estimator, scoring=self.scoring)
        X_val, y_val, weight_val = task.given
        if isinstance(self.cv, str):  # "prefit"
            return self._prefit_fold(task), scorer
        on_val = task.role == "judge"
        y = np.asarray(y_val) if on_val else task.y
        cv = self.cv
        routed = self._outer_params(task)
        X = X_val if on_val else task.X
        splits = fixed_splits(cv, len(y), "cv")
        if isinstance(cv, Real) and not isinstance(cv, Integral):
            splits = [hold_out(float(cv), y, self.random_state, "cv")]
        elif splits is None:
            cv = check_cv(cv, y, classifier=True)
            blind = on_val or isinstance(self.cv, Real)
            pairs = cv.split(X, y, **({} if blind else routed["split"]))
            splits = checked_splits(pairs, len(y), "cv")
        if not self.refit and len(splits) > 1:
            raise ValueError(
                f"When cv has several folds ({len(splits)} here), refit cannot be False: "
                "there is no single classifier to keep. Use refit=True or a float cv."
            )
        if task.joined is not None:
            folds = folds_of_both(task, task.joined, splits, routed["score"])
            for k, (part, _) in enumerate(folds, start=1):
                self._check_fold(k, part)
            return folds, scorer
        folds = []
        for k, (train, test) in enumerate(splits, start=1):
            if on_val:
                weights: list = [None, None]
                if weight_val is not None:
                    weights = [np.asarray(weight_val)[rows] for rows in (train, test)]
                part = replace(task, given=(_safe_indexing(X, train), y[train], weights[0]))
                extra = {} if weights[1] is None else {"sample_weight": weights[1]}
            else:
                part = task.take(train)
                self._check_fold(k, part)
                extra = unwrapped(_check_method_params(X, routed["score"], indices=test))
            folds.append((part, (_safe_indexing(X, test), y[test], extra)))
        return folds, scorer

    def _role(self, frozen: bool) -> str:
        role = super()._role(frozen or isinstance(self.cv, str))
        return "train" if role == "auto" else role

    def _without_checked(self, folds: list, curves: list, budget, means, scorer) -> bool:
        """Whether the last fit does better without the checked rows, beyond chance."""
        if self.checked_rows != "auto":
            return False
        ahead = []
        for (fold, (X, y, extra)), mean, curve in zip(folds, means, curves, strict=True):
            removed = curve[2].removed(budget_mass(budget, fold.weight))
            model = self._fit_kept(fold, fold.weight - removed, checked=False)
            ahead.append(scorer(model, own_rows(model, X), y, **extra) - mean)
        n_folds = len(ahead)
        error = np.std(ahead, ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
        return bool(np.mean(ahead) > error)

    def _check_fold(self, number: int, fold: Task) -> None:
        """Refuse a fold that no classifier can be trained on."""
        present = np.unique(fold.codes[fold.weight > 0])
        if len(present) < 2 <= len(fold.classes):
            only = f"class {fold.classes[present[0]]} only" if len(present) else "no class"
            raise ValueError(
                f"Fold {number} of cv={shown_splitter(self.cv)} trains on rows of {only}, and "
                f"y holds {len(fold.classes)} classes. Use a splitter that keeps at least two "
                "classes in every fold, such as StratifiedKFold(5), or leave out classes of "
                "very few rows."
            )

    def _prefit_fold(self, task: Task):
        X_val, y_val, weight_val = task.given
        if self.refit:
            raise ValueError(
                'When cv="prefit", refit cannot be True: set refit=False, or cv to a '
                "number of folds."
            )
        if X_val is None:
            raise ValueError(
                'cv="prefit" holds out no rows of X: pass X_val and y_val, which '
                "estimator was not fitted on."
            )
        try:
            check_is_fitted(task.estimator)
        except NotFittedError as error:
            raise NotFittedError('When cv="prefit", estimator must be fitted.') from error
        warn_user(
            'With cv="prefit" the same rows of X_val score the training rows and choose '
            "the budget, so best_score_ is too good and the choice may be too bold. Use "
            "cv as a number of folds to keep the two apart.",
        )
        extra = {} if weight_val is None else {"sample_weight": weight_val}
        return [(replace(task, prefit=True), (X_val, np.asarray(y_val), extra))]

    def _outer_params(self, task: Task) -> dict:
        """What goes to the outer splitter and to the scorer."""
        params = dict(task.params)
        if not _routing_enabled():
            return {"split": {"groups": params["groups"]} if "groups" in params else {},
                    "score": {}}  # fmt: skip
        if task.weighted:
            params["sample_weight"] = task.weight
        if not params:  # what process_routing gives for none never ends an `in`
            return {"split": {}, "score": {}}
        routed = process_routing(self, "fit", **params)
        return {"split": dict(routed.cv.split) if "cv" in routed else {},
                "score": dict(routed.scorer.score) if "scorer" in routed else {}}  # fmt: skip

    def _choose(self, scores: np.ndarray, budgets: list, task: Task) -> int:
        """Index of the chosen budget; ties go to the smallest."""
        means = scores.mean(axis=1)
        if np.isnan(means).all():
            raise ValueError("scoring returned NaN for every budget; check scoring and y.")
        target = np.nanmax(means)
        tie = _TIE * max(1.0, abs(target))
        if self.rule == "one_standard_error":
            n_splits = scores.shape[1]
            if n_splits < 2:
                raise ValueError(
                    'rule="one_standard_error" needs at least two folds; set cv to a '
                    'number of folds, or rule="best".'
                )
            best = scores[int(np.nanargmax(means))]
            target -= best.std(ddof=1) / np.sqrt(n_splits)
        masses = np.array([budget_mass(budget, task.weight) for budget in budgets])
        eligible = np.flatnonzero(means >= target - tie)
        return int(eligible[np.argmin(masses[eligible])])

    def _final_path(self, task, budgets, best, curves) -> tuple[RemovalPath, int]:
        """The path of the last fit, and the budget, smaller if the path ends before it."""
        masses = [budget_mass(budget, task.weight) for budget in budgets]
        if not self.refit:
            return curves[0][2], best
        path = self._walk(task, masses[best], n_jobs=self.n_jobs, verbose=self.verbose)
        within = [k for k, mass in enumerate(masses) if mass <= min(masses[best], path.reach)]
        if path.stop is None or best in within:
            return path, best
        index = max(within, key=lambda k: masses[k])
        warn_user(
            f"budget={budgets[best]} was chosen, but cannot be had on all rows. "
            f"{path.stop} Taking budget={budgets[index]}.",
        )
        return path, index

    def get_metadata_routing(self):
        """Metadata routing of this object, consumer and router at once.

        Returns
        -------
        routing : MetadataRouter
            Requests of the trimmer, its classifiers, splitters and scorer.
        """
        router = super().get_metadata_routing()
        if hasattr(self.cv, "split") and not isinstance(self.cv, str):
            router.add(
                cv=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        scorer = check_scoring(self._classifier(), scoring=self.scoring)
        if isinstance(scorer, _BaseScorer) or hasattr(scorer, "get_metadata_routing"):
            router.add(
                scorer=scorer,
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        return router
