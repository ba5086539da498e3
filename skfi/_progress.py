"""A progress bar on long paths, where tqdm is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: float, title: str, shown) -> Iterator[Callable[[float], None] | None]:
    """A function to be told how much is done, or None where nothing is shown."""
    if not shown or total <= 0:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    with tqdm(total=total, desc=title, unit=" rows", leave=False) as bar:

        def told(done: float) -> None:
            bar.update(done - bar.n)

        yield told
