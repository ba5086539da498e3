"""Which matrix H⁻¹ is to come from, of columns or of rows, and whether memory holds it."""

from __future__ import annotations

import os

import numpy as np

from .._utils._user_warnings import warn_user
from ._softmax import SoftmaxLinear

# A Hessian of more bytes is left alone where rows by rows take less.
_LARGE_BYTES = 2 * 2**30
# What stands in memory at once beside each: H, its factor and inverse with their scaled
# copies; P and blocks of it.
_HESSIANS, _SQUARES = 6, 1.25
SCALE_REMEDY = (
    "Scale the columns (StandardScaler, MaxAbsScaler), penalise more (a smaller C), drop "
    "copies of rows, or cut the columns below the number of rows (TruncatedSVD, SelectKBest)."
)
# A solve of more relative error has lost digits that scores show; of yet more, all of them.
_LARGEST_RESIDUAL, _LOST = 1e-8, 1e-2


def by_rows(model: SoftmaxLinear, n_rows: int, kronecker: bool = False) -> bool:
    """Whether a matrix of rows by rows is the cheaper way to H⁻¹, and the same.

    ``kronecker``: to K-FAC's, of any number of outputs.
    """
    if not one_l2_penalty(model, kronecker):
        return False
    if model.beta.shape[1] > n_rows:
        return True
    dense = _hessian_bytes(model, kronecker)
    needed = _needed_bytes(model, n_rows, True, kronecker)
    return dense > _LARGE_BYTES and needed < _HESSIANS * dense


def kronecker_fits(model: SoftmaxLinear, n_rows: int) -> bool:
    """Whether K-FAC takes the model's penalty, and memory its factors."""
    if model.l1.any() or (model.l2 != model.l2[0]).any():
        return False
    return _fits(model, n_rows, by_rows(model, n_rows, kronecker=True), True)


def columns_instead(
    model: SoftmaxLinear, n_rows: int, residual: float, kronecker: bool = False
) -> bool:
    """Whether to invert H itself: its rows left that error, and memory holds it."""
    return not residual <= _LARGEST_RESIDUAL and _fits(model, n_rows, False, kronecker)


def _fits(model: SoftmaxLinear, n_rows: int, rows: bool, kronecker: bool) -> bool:
    return _needed_bytes(model, n_rows, rows, kronecker) <= _physical_memory()


def check_fits(
    model: SoftmaxLinear, n_rows: int, rows: bool, kronecker: bool = False, remedy: str = ""
) -> None:
    """Refuse what this machine's memory cannot hold, before hours are spent on it.

    ``remedy`` is what the caller's user can do about it.
    """
    if _fits(model, n_rows, rows, kronecker):
        return
    memory, dense = _physical_memory(), _hessian_bytes(model, kronecker)
    outputs, p = model.beta.shape
    square = f"a matrix of {n_rows:,} rows by rows takes {_size(8 * n_rows**2)}"
    if rows:
        instead = f", and {square}"
    elif one_l2_penalty(model, kronecker):
        instead = f"; {square}, and stands in for it in scores against validation rows only"
    else:
        where = "there are two classes, an L2 penalty and none of L1"
        if kronecker:
            where = "all classes share an L2 penalty, and there is none of L1"
        instead = f"; a matrix of rows by rows stands in for it only where {where}"
    raise MemoryError(
        f"The Hessian of {outputs} x {p:,} parameters takes {_size(dense)}, a few times over, "
        f"of this machine's {_size(memory)}{instead}. {remedy}".rstrip()
    )


def one_l2_penalty(model: SoftmaxLinear, kronecker: bool) -> bool:
    """Whether H, or K-FAC's, is one number on the weights and the rows beside it."""
    l2 = model.l2[:, : model.n_features]
    even = bool((model.l2 == model.l2[0]).all())  # the intercepts', too
    one_penalty = even and not model.l1.any() and bool(0 < l2.min() == l2.max())
    return one_penalty and (kronecker or len(model.beta) == 1)


def _hessian_bytes(model: SoftmaxLinear, kronecker: bool) -> int:
    outputs, p = model.beta.shape
    if kronecker:
        return 8 * (p * p + model.full_outputs**2)
    return 8 * outputs * p * p * (outputs if model.link.coupled else 1)


def _needed_bytes(model: SoftmaxLinear, n_rows: int, rows: bool, kronecker: bool) -> float:
    if rows:
        return _SQUARES * 8 * n_rows**2
    return _HESSIANS * _hessian_bytes(model, kronecker)


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows: the allocation itself says so
        return np.inf


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} TiB"


def check_residual(residual: float) -> None:
    """Warn where solving through the rows lost digits, refuse where it lost all of them."""
    if residual <= _LARGEST_RESIDUAL:
        return
    message = (
        f"There are more columns than rows, and solving through the rows left a relative error "
        f"of {residual:.2g}: some columns are very large beside others, or some rows all but "
        f"follow from others beside a tiny penalty. {SCALE_REMEDY}"
    )
    if not residual <= _LOST:
        raise np.linalg.LinAlgError(message)
    warn_user(f"{message} The scores have as few digits.")
