"""Jobs in joblib's workers, or one after the other in the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import starmap
from typing import Any

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterable[Any]]


@contextmanager
def workers(n_jobs: int | None) -> Iterator[Run]:
    """``run(function, jobs)``: results of ``function(*job)``, in order.

    scikit-learn's `Parallel` resets the filters of warnings for the whole process at each job,
    also where there is one worker. Callers in several threads would lose their filters.
    """
    if effective_n_jobs(n_jobs) == 1:
        yield starmap
    else:
        with Parallel(n_jobs=n_jobs) as parallel:
            yield lambda function, jobs: parallel(delayed(function)(*job) for job in jobs)
