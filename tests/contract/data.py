"""Values by argument name, for calls of public names."""

from __future__ import annotations

import functools
import operator

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

N, N_VAL, N_POOL, D = 40, 16, 16, 4
ROWS = ("X", "X_val", "X_pool", "X_query", "X_labelled", "X_test")

_X, _Y = make_classification(
    N + N_VAL + N_POOL,
    D,
    n_informative=D,
    n_redundant=0,
    n_clusters_per_class=1,
    flip_y=0.1,
    random_state=1,
)
_X = 2.0 * _X + 3.0  # not standardised already
_TRAIN, _VAL, _POOL = np.split(np.arange(len(_X)), [N, N + N_VAL])
COLUMNS = [f"x{j}" for j in range(D)]


def rows(which: np.ndarray, form: str):
    """A new copy of some rows in a form."""
    X = _X[which].copy()
    match form:
        case "F":
            return np.asfortranarray(X)
        case "float32":
            return X.astype(np.float32)
        case "csr":
            return sparse.csr_array(X)
        case "frame":
            import pandas as pd

            return pd.DataFrame(X, columns=COLUMNS, index=odd_index(len(X)))
        case "tensor":
            import torch

            return torch.as_tensor(X.astype(np.float32))
    return X


def odd_index(n: int):
    """Labels of rows that are neither unique nor in order nor positions."""
    return (np.arange(n)[::-1] * 7) % (n - 3) + 2


def labels(which: np.ndarray, form: str):
    """A new copy of the labels."""
    y = _Y[which].copy()
    if form == "frame":
        import pandas as pd

        return pd.Series(y, index=odd_index(len(y))[::-1], name="label")
    return y


def edit(frame):
    """Work in place, as a careless step does."""
    if hasattr(frame, "iloc"):
        frame["x0"] = frame["x0"] * 0.5
        return frame
    frame[:, 0] *= 0.5
    return frame


def classifier(model: str):
    """An unfitted classifier by name."""
    match model:
        case "scaler in place":
            return make_pipeline(StandardScaler(copy=False), LogisticRegression())
        case "function in place":
            return make_pipeline(FunctionTransformer(edit), LogisticRegression())
        case "trap":
            return make_pipeline(Trap(), LogisticRegression())
        case "network in place":
            return network()
    return LogisticRegression()


def network():
    """A torch module whose first layer changes the rows it is given."""
    import torch
    from torch import nn

    from skfi.bridge import TorchClassifier

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.ReLU(inplace=True), nn.Linear(D, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)
        )
    return TorchClassifier(module, nn.CrossEntropyLoss(), classes=[0, 1])


class Trap(TransformerMixin, BaseEstimator):
    """Counts its calls, and raises at one of them."""

    calls, at, error = 0, None, RuntimeError

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y=None):
        self._tick()
        return self

    def transform(self, X):
        self._tick()
        return X

    def get_feature_names_out(self, names=None):
        return names

    @classmethod
    def _tick(cls) -> None:
        cls.calls += 1
        if cls.calls == cls.at:
            raise cls.error("trap")

    @classmethod
    def set(cls, at: int | None, error: type[BaseException] = RuntimeError) -> None:
        """Start counting from zero."""
        cls.calls, cls.at, cls.error = 0, at, error


def values(form: str, model: str) -> dict:
    """Everything that a call may take, by argument name, in memory of its own."""
    unfitted, fitted = classifier(model), classifier(model)
    if model != "network in place":
        fitted.fit(rows(_TRAIN, form), labels(_TRAIN, form))
    weight = np.random.default_rng(0).integers(1, 3, N).astype(float)
    y, y_val, y_pool = (labels(which, form) for which in (_TRAIN, _VAL, _POOL))
    score = np.random.default_rng(1).normal(size=N)
    return {
        "unfitted": unfitted,
        "estimator": fitted,
        "X": rows(_TRAIN, form),
        "y": y,
        "X_val": rows(_VAL, form),
        "y_val": y_val,
        "X_test": rows(_VAL, form),
        "y_test": labels(_VAL, form),
        "X_pool": rows(_POOL, form),
        "X_query": rows(_POOL, form),
        "y_query": y_pool,
        "X_labelled": rows(_VAL, form),
        "y_labelled": labels(_VAL, form),
        "sample_weight": weight,
        "sample_weight_val": np.linspace(0.5, 1.5, N_VAL),
        # of displays
        "influence": score,
        "support": score < 1,
        # of `skfi.outofcore` and `skfi.passes`
        "rows": _array_rows(form),
        "batches": _Batches(form),
        "scores": score,
        "reduce": _Reduce(form),
        "n_features": D,
        "classes": np.array([0, 1]),
        # of data sets' noise
        "relevant": [1],
        "ratios": {0: 1.0, 1: 0.5},
        # of networks
        **_network_values(),
        # options
        "batch_size": 2,
        "budget": 0.2,
        "budgets": [0.1, 0.2],
        "cv": 2,
        "decisions": _decisions(),
        "query_strategy": _query_strategy(),
        "max_permutations": 3,
        "n_draws": 3,
        "n_initial": 10,
        "n_neighbors": 3,
        "n_repeats": 1,
        "n_rounds": 1,
        "random_state": 0,
        "regressor": KNeighborsRegressor(1),
        "step": None,
        "validation": 2,
    }


def _query_strategy():
    """A strategy of scikit-activeml, where that is installed."""
    try:
        from skactiveml.pool import Badge
    except ImportError:
        return None
    return Badge(random_state=0)


def _decisions():
    """A table of decisions about rows."""
    import pandas as pd

    return pd.DataFrame({"position": [3, 5], "action": ["drop", "keep"], "label": ["", ""]})


class _Batches:
    """A source of batches over rows that the caller holds."""

    def __init__(self, form: str):
        self.X, self.y = rows(_TRAIN, form), labels(_TRAIN, form)

    def __call__(self):
        for start in range(0, N, 16):
            yield self.X[start : start + 16], self.y[start : start + 16]


class _Reduce(_Batches):
    """Adds up what a function gives for each batch."""

    def __call__(self, part):
        totals = [part(X, y, None) for X, y in super().__call__()]
        return functools.reduce(operator.add, totals)


def binary(values: dict) -> dict:
    """The same with attributes of -1 and 1, for `flip_columns`."""
    X = values["X"]
    signs = np.where(np.asarray(X.toarray() if sparse.issparse(X) else X) > 3, 1.0, -1.0)
    if hasattr(X, "iloc"):
        X = X.assign(**{name: signs[:, j] for j, name in enumerate(COLUMNS)})
    elif isinstance(X, np.ndarray):
        X = np.array(signs, X.dtype, order="F" if X.flags.f_contiguous else "C")
    else:
        X = signs
    return values | {"X": X, "columns": [0, 2]}


def _array_rows(form: str):
    from skfi.outofcore import ArrayRows

    try:
        return ArrayRows(rows(_TRAIN, form), labels(_TRAIN, form))
    except (TypeError, ValueError):  # frames
        return ArrayRows(rows(_TRAIN, "C"), labels(_TRAIN, "C"))


def _network_values() -> dict:
    try:
        import skorch
        import torch
    except ImportError:
        return {}
    made = network()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = skorch.NeuralNetClassifier(
            made.module, criterion=torch.nn.CrossEntropyLoss(), max_epochs=1, verbose=0,
            train_split=None,
        )  # fmt: skip
    return {"module": made.module, "criterion": made.criterion, "net": net}


def parquet(folder) -> dict:
    """A Parquet file of the rows."""
    frame = rows(_TRAIN, "frame").assign(label=_Y[_TRAIN])
    path = folder / "rows.parquet"
    frame.to_parquet(path)
    return {"path": path, "target": "label"}
