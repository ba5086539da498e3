"""Warnings are ignored and recorded in one thread, and nothing is left behind."""

from __future__ import annotations

import pickle
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from skfi._utils._warning_scopes import ignored, recorded


@pytest.fixture(autouse=True)
def _unchanged():
    before = list(warnings.filters), warnings.showwarning, warnings._showwarnmsg_impl
    yield
    assert before == (list(warnings.filters), warnings.showwarning, warnings._showwarnmsg_impl)


def warn(text="text", category=UserWarning):
    warnings.warn(text, category, stacklevel=2)


def test_category_and_message_are_those_of_a_filter():
    with ignored(UserWarning, "the first|second"):
        warn("The first of all")
        with pytest.raises(UserWarning, match="other"):
            warn("other")
        with pytest.raises(RuntimeWarning):
            warn("second", RuntimeWarning)
    with pytest.raises(UserWarning):
        warn("The first of all")


def test_scopes_nest():
    with ignored(UserWarning):
        with ignored(UserWarning), ignored(ConvergenceWarning):
            warn()
        warn()
        with pytest.raises(RuntimeWarning):
            warn(category=RuntimeWarning)


def test_other_threads_see_their_warnings():
    entered, warned = Event(), Event()

    def ignore():
        with ignored():
            entered.set()
            assert warned.wait(10)
            warn("of the thread")

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(ignore)
        assert entered.wait(10)
        try:
            with pytest.raises(UserWarning, match="of the main thread"):
                warn("of the main thread")
        finally:
            warned.set()
        job.result()


@pytest.mark.parametrize("scope", [ignored, recorded])
def test_overlapping_threads_leave_nothing_behind(scope):
    """The first to come is the first to leave, which `catch_warnings` does not survive."""
    ours, theirs = scope(), scope()
    steps = Barrier(2)

    def other():
        steps.wait(10)
        theirs.__enter__()
        steps.wait(10)
        steps.wait(10)
        theirs.__exit__(None, None, None)

    thread = Thread(target=other)
    thread.start()
    ours.__enter__()
    steps.wait(10)
    steps.wait(10)
    ours.__exit__(None, None, None)
    steps.wait(10)
    thread.join()


@pytest.mark.parametrize("scope", [ignored, recorded])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_leave_nothing_behind(scope, error):
    with pytest.raises(error), scope():
        raise error


def test_the_filters_of_a_catch_that_overlaps_are_restored():
    catch, scope = warnings.catch_warnings(), ignored()
    with warnings.catch_warnings():
        scope.__enter__()
        catch.__enter__()
        warnings.simplefilter("ignore", ConvergenceWarning)
        scope.__exit__(None, None, None)
        catch.__exit__(None, None, None)
        with pytest.raises(UserWarning):
            warn()


def test_a_catch_inside_is_not_recorded():
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with recorded() as outer:
            warn("before")
            with warnings.catch_warnings(record=True) as inner:
                warn("inside")
            warn("after")
    assert [str(w.message) for w in outer] == ["before", "after"]
    assert [str(w.message) for w in inner] == ["inside"]
    assert outer[0].filename == __file__


def test_other_threads_show_their_warnings_meanwhile():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with recorded() as log:
            thread = Thread(target=warn, args=("of the thread",))
            thread.start()
            thread.join()
    assert not log
    assert [str(warning.message) for warning in shown] == ["of the thread"]


def test_a_printer_that_others_put_back_removes_itself():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before, catch, scope = warnings.showwarning, warnings.catch_warnings(), recorded()
        scope.__enter__()
        catch.__enter__()
        scope.__exit__(None, None, None)
        catch.__exit__(None, None, None)
        warn("shown")
        assert warnings.showwarning is before
    assert [str(warning.message) for warning in shown] == ["shown"]


def test_workers_get_a_plain_filter():
    """scikit-learn sends the filters in force to its workers, and reads their patterns."""
    with ignored(UserWarning, "in the worker"):
        Parallel(n_jobs=1)([delayed(warn)("In the worker")])
    with ignored(UserWarning, "The start"):
        entry = warnings.filters[0]
        assert pickle.loads(pickle.dumps(entry))[1] == re.compile("The start", re.IGNORECASE)
        assert entry[1].pattern == "The start"


@pytest.mark.parametrize("message", ["", "The least populated class"])
def test_scikit_learn_runs_jobs_in_this_process_meanwhile(message):
    """Its jobs copy the filters in force: a ColumnTransformer is fitted by them."""
    steps = make_column_transformer((StandardScaler(), [0]), remainder="passthrough")
    with ignored(UserWarning, message):
        prepared = steps.fit_transform(np.array([[0.0, 1.0], [2.0, 3.0]]))
    np.testing.assert_array_equal(prepared, [[-1.0, 1.0], [1.0, 3.0]])
