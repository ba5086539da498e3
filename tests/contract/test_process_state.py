"""The process is as it was after each call, however it ends, and from several threads."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from threadpoolctl import threadpool_limits

from tests.contract.catalogue import calls, values_of
from tests.contract.data import Trap
from tests.contract.snapshots import differences, process

pytestmark = pytest.mark.filterwarnings("ignore")
every = pytest.mark.parametrize("call", calls(), ids=str)


@pytest.fixture(autouse=True, scope="module")
def _two_blas_threads():
    """Set by a thread that has ended, so that any other may set them."""

    def limited(limits):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(threadpool_limits, limits, user_api="blas").result()

    before = limited(2).get_original_num_threads()["blas"]
    yield
    limited(before)


def run(call, values):
    """A call, and what it raised."""
    try:
        call.run(values)
    except BaseException as error:
        return error
    return None


@every
def test_after_success_and_errors(call, tmp_path):
    values = values_of(call, model="trap", folder=tmp_path)
    Trap.set(None)
    run(call, values)  # loads modules, which have settings of their own
    n_calls = Trap.calls
    for error in (None, RuntimeError, KeyboardInterrupt) if n_calls else (None,):
        values = values_of(call, model="trap", folder=tmp_path)
        Trap.set(n_calls // 2 + 1 if error else None, error or RuntimeError)
        before = process()
        raised = run(call, values)
        Trap.set(None)
        changed = differences(before, process())
        for _ in range(50):  # after an error Dask's workers still finish their blocks
            if not changed or "dask" not in call.name:
                break
            time.sleep(0.1)
            changed = differences(before, process())
        assert not changed, error
        swallowed = "skactiveml" in call.name and error is RuntimeError  # by its classifier
        assert raised is not None or error is None or swallowed


# scikit-learn's distances, which scikit-activeml calls, limit BLAS's threads: several threads
# at once may put back what another had set (see docs/scaling.md).
UPSTREAM = {"skfi.integrations.skactiveml.SkactivemlStrategy": {"threads"}}


@every
def test_after_calls_in_four_threads(call, tmp_path):
    inputs = [values_of(call, folder=tmp_path) for _ in range(5)]
    alone = run(call, inputs.pop())
    before = process()
    with ThreadPoolExecutor(4) as pool:
        errors = list(pool.map(lambda values: run(call, values), inputs))
    changed = set(differences(before, process()))
    assert changed <= UPSTREAM.get(call.name, set())
    assert [repr(error) for error in errors] == [repr(alone)] * 4
    with pytest.warns(UserWarning, match="later"):
        warnings.warn("later", UserWarning, stacklevel=1)
