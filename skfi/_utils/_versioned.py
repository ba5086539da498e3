"""The version of skfi in pickles of its estimators."""

from __future__ import annotations

from typing import Any

from ._user_warnings import warn_user

try:
    from .._version import __version__
except ImportError:  # a source tree that was never built or installed
    __version__ = "0+unknown"


class VersionedState:
    """Mixin whose pickles carry skfi's version, as scikit-learn's estimators carry its own."""

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**state, "_skfi_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_skfi_version", "0.1.0 or older")
        if version != __version__:
            warn_user(
                f"This {type(self).__name__} was pickled by skfi {version} and is loaded by "
                f"skfi {__version__}: attributes may be missing or mean something else. Fit it "
                "again, or load it with the version that pickled it.",
            )
        super().__setstate__(state)  # type: ignore[misc]
