"""scikit-learn's estimator checks of the trimmers over networks."""

from __future__ import annotations

import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfi import FITrimmer, FITrimmerCV

pytest.importorskip("torch")
pytest.importorskip("skorch")

from tests.bridge.nets import binary, logits, probabilities

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*array_api.*",
    "ignore:Trimming took more than half:UserWarning",
    "ignore:Budgets .* could not be tried:UserWarning",
    "ignore:The least populated class:UserWarning",
)

ONCE = {"budget": 0.1, "validation": 0.3, "step": None, "random_state": 0}
DEEP = {"params": "all", "perturbation": "input"}
EQUIVALENCE = (
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)
WEIGHTED = (
    *EQUIVALENCE,
    "check_classifiers_one_label_sample_weights",
    "check_sample_weights_list",
    "check_sample_weights_not_an_array",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
)
HELD_OUT = "Which rows are held out depends on how many there are, as for every classifier."
NO_WEIGHTS = (
    "skorch's fit takes no sample weights, and the trimmer refuses them with that reason."
)


def expected_failures(trimmer):
    if isinstance(trimmer.estimator, MLPClassifier):
        return dict.fromkeys(EQUIVALENCE, HELD_OUT)
    return dict.fromkeys(WEIGHTED, NO_WEIGHTS)


@parametrize_with_checks(
    [
        FITrimmer(probabilities(), influence_params=DEEP, **ONCE),
        FITrimmer(binary(), **ONCE),
        FITrimmerCV(
            logits(), budgets=(0, 0.1), cv=0.3, validation=0.3, step=None, random_state=0
        ),
        FITrimmer(MLPClassifier((4,), solver="lbfgs", random_state=0), **ONCE),
    ],
    expected_failed_checks=expected_failures,
)
def test_sklearn(estimator, check):
    check(estimator)
