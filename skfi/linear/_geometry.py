"""The measure itself: from g, D and P to FI = g G⁺ gᵀ without a d×d matrix.

``G = Σ_c P_c D_cᵀD_c`` has rank at most K - 1. Write D through K - 1 independent
log-odds, ``D = (I - 1pᵀ) U Z`` with orthonormal contrasts U and Z of full row
rank. Then ``G = Zᵀ S Z`` with ``S = Uᵀ(diag p - ppᵀ)U``, whose inverse is known:

    FI = aᵀ S⁻¹ a = Σ_c (U a)_c² / p_c    with    a = (Z Zᵀ)⁻¹ Z gᵀ.

No eigenvalue is cut off, so a class of probability 1e-30 counts exactly.

With no more columns than contrasts G is of full rank as a rule, the columns' scales do not
matter, and ``G = AᵀA = RᵀR`` by a QR
decomposition of A = diag(√P) D, written so that small probabilities keep their digits there,
too (`fi_few_columns`). Where rows or columns depend on each other, the pseudo-inverse is taken
by a singular value decomposition instead.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import helmert

_TINY = np.finfo(np.float64).tiny
_MAX = np.finfo(np.float64).max
# A pivot of the row-scaled Gram matrix ZZᵀ under this marks dependent rows.
_DEPENDENT = 1e-11


def fi_binary(g_dot_v: np.ndarray, v_dot_v: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """FI from ``v = ∂_ω logit``: ``(g·v)² / (p(1-p) ‖v‖⁴)``, all of shape (b,)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        along = np.where(v_dot_v > 0, g_dot_v / v_dot_v, 0.0)
        fi = along * (along / np.maximum(curvature, _TINY))
    return np.minimum(fi, _MAX)


def fi_multiclass(g: np.ndarray, Z: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """FI of each row.

    Parameters
    ----------
    g : ndarray of shape (b, d)
        Derivative of the validation loss in the row's perturbation.
    Z : ndarray of shape (b, K - 1, d)
        Derivatives of the log-odds contrasts in the perturbation.
    log_p : ndarray of shape (b, K)
        Log probabilities.
    """
    n_classes = log_p.shape[1]
    if Z.shape[2] <= Z.shape[1]:
        return fi_few_columns(g, np.matmul(helmert(n_classes).T, Z), log_p)
    # Rows of Z may differ in length by orders; scaling them keeps ZZᵀ honest.
    length = np.sqrt(np.einsum("bkd,bkd->bk", Z, Z))
    scaled = Z / np.where(length > 0, length, 1.0)[:, :, None]
    gram = np.matmul(scaled, scaled.transpose(0, 2, 1))
    regular = _full_rank(gram)
    fi = np.empty(len(g))
    if regular.any():
        rows = slice(None) if regular.all() else regular
        target = np.matmul(scaled[rows], g[rows][:, :, None])
        a = np.linalg.solve(gram[rows], target)[:, :, 0] / length[rows]
        fi[rows] = _norm_in_probabilities(a @ helmert(n_classes), log_p[rows])
    if not regular.all():
        D = np.matmul(helmert(n_classes).T, Z[~regular])
        fi[~regular] = _fi_by_svd(g[~regular], D, log_p[~regular])
    return fi


def fi_few_columns(g: np.ndarray, D: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """FI of each row, for at most as many columns as contrasts.

    Parameters
    ----------
    g : ndarray of shape (b, d)
        Derivative of the validation loss in the row's perturbation.
    D : ndarray of shape (b, K, d)
        Derivatives of log P, but for what is common to all classes.
    log_p : ndarray of shape (b, K)
        Log probabilities.
    """
    if not D.shape[2]:
        return np.zeros(len(g))
    fi = np.empty(len(g))
    R, sound = upper_root(likeliest_first(D, log_p), D - D.mean(axis=1, keepdims=True))
    if sound.any():
        rows = slice(None) if sound.all() else sound
        fi[rows] = fi_by_root(g[rows], R[rows])
    if not sound.all():
        fi[~sound] = _fi_by_svd(g[~sound], D[~sound], log_p[~sound])
    return fi


def fi_by_root(g: np.ndarray, R: np.ndarray) -> np.ndarray:
    """``g G⁻¹ gᵀ = ‖R⁻ᵀ gᵀ‖²`` of each row, finite where R is almost zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        w = np.linalg.solve(R.transpose(0, 2, 1), g[:, :, None])
        squared = np.einsum("bdi,bdi->b", w, w)
    return np.nan_to_num(np.minimum(squared, _MAX), nan=_MAX)


def upper_root(A: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R with ``RᵀR = AᵀA``, and where it can be trusted (b,) bool.

    Parameters
    ----------
    A : ndarray of shape (b, r, d)
        Rows of falling length, r at least d.
    apart : ndarray of shape (b, n, d)
        A without its weights: columns that depend here do so there. Small pivots are right
        where only the weights are small.
    """
    R = np.asarray(np.linalg.qr(A, mode="r"))
    length = np.sqrt(np.einsum("bij,bij->bj", R, R))
    pivots = np.abs(np.einsum("bjj->bj", R)) / np.where(length > 0, length, 1.0)
    sound = pivots.min(axis=1) ** 2 > _DEPENDENT
    if not sound.all():
        small = np.flatnonzero(~sound)
        columns = apart[small]
        length = np.sqrt(np.einsum("bcd,bcd->bd", columns, columns))
        columns = columns / np.where(length > 0, length, 1.0)[:, None]
        gram = np.matmul(columns.transpose(0, 2, 1), columns)
        sound[small] = _full_rank(gram) & (pivots[small] > 0).all(axis=1)
    return R, sound


def likeliest_first(D: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """A (b, K - 1, d) with ``AᵀA = G``, from D that is known but for a common row.

    Classes go by probability. Each is set against the mean of those before it, so that nothing
    cancels, and the lengths of rows fall with √p: of a matrix with such rows a QR decomposition
    keeps the digits of the small ones.
    """
    rows, order = np.arange(len(D))[:, None], np.argsort(-log_p, axis=1)
    p = np.exp(np.maximum(log_p[rows, order], np.log(_TINY)))
    A = D[rows, order]
    A -= A[:, :1].copy()
    mean = p[:, :, None] * A
    np.cumsum(mean, axis=1, out=mean)
    mass = np.cumsum(p, axis=1)
    mean /= mass[:, :, None]
    A = A[:, 1:]
    A -= mean[:, :-1]
    A *= np.sqrt(p[:, 1:] * mass[:, :-1] / mass[:, 1:])[:, :, None]
    return A


def _norm_in_probabilities(a: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Σ_c a_c² / p_c, finite where p underflows."""
    with np.errstate(over="ignore"):
        terms = np.abs(a) * np.exp(-0.5 * np.maximum(log_p, np.log(_TINY)))
        fi = np.einsum("bc,bc->b", terms, terms)
    return np.minimum(fi, _MAX)


def _full_rank(gram: np.ndarray) -> np.ndarray:
    """Which of the unit-diagonal Gram matrices are safely invertible, (b,) bool."""
    try:
        pivots = np.linalg.cholesky(gram).diagonal(axis1=1, axis2=2)
        return pivots.min(axis=1) ** 2 > _DEPENDENT
    except np.linalg.LinAlgError:  # at least one is not: look at each
        return np.linalg.eigvalsh(gram)[:, 0] > _DEPENDENT


def _fi_by_svd(g: np.ndarray, D: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The definition's pseudo-inverse by A = diag(√P) D, G = AᵀA: ‖A⁺ᵀ gᵀ‖²."""
    _, inverse, Vt = _metric_svd(D, log_p)
    with np.errstate(over="ignore"):
        terms = inverse * np.matmul(Vt, g[:, :, None])[:, :, 0]
        fi = np.einsum("br,br->b", terms, terms)
    return np.minimum(fi, _MAX)


def fisher_factors(Z: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """F (b, K - 1, d) with ``G⁺ = FᵀF``, so that FI = ‖F g‖² for any g.

    Parameters as in `fi_multiclass`.
    """
    return fisher_mixing(Z, log_p)[0]


def fisher_mixing(Z: np.ndarray, log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F of `fisher_factors`, and N (b, K - 1, K - 1) with ``F = N Z``.

    Where columns of Z differ in scale, the product N Z cancels, so F is computed without it.
    """
    n_classes = log_p.shape[1]
    if Z.shape[2] <= Z.shape[1]:
        return _mix_few_columns(Z, log_p)
    length = np.sqrt(np.einsum("bkd,bkd->bk", Z, Z))
    scaled = Z / np.where(length > 0, length, 1.0)[:, :, None]
    gram = np.matmul(scaled, scaled.transpose(0, 2, 1))
    regular = _full_rank(gram)
    F, N = np.zeros(Z.shape), np.zeros(gram.shape)
    if regular.any():
        rows = length[regular]
        towards = np.linalg.inv(gram[regular]) / (rows[:, :, None] * rows[:, None, :])
        # Σ_c (U a)_c²/p_c = ‖R a‖² with R of the QR decomposition of diag(1/√p) U.
        spread = np.exp(-0.5 * np.maximum(log_p[regular], np.log(_TINY)))
        R = np.linalg.qr(spread[:, :, None] * helmert(n_classes).T, mode="r")
        N[regular] = R @ towards
        F[regular] = N[regular] @ Z[regular]
    if not regular.all():
        F[~regular], N[~regular] = _mix_by_svd(Z[~regular], log_p[~regular])
    return F, N


def factor_few_columns(D: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """F (b, d, d) with ``G⁺ = FᵀF``, for fewer columns than classes.

    Parameters as in `fi_few_columns`.
    """
    R, sound = upper_root(likeliest_first(D, log_p), D - D.mean(axis=1, keepdims=True))
    F = np.empty(R.shape)
    F[sound] = np.linalg.inv(R[sound]).transpose(0, 2, 1)
    if not sound.all():
        _, inverse, Vt = _metric_svd(D[~sound], log_p[~sound])
        F[~sound] = inverse[:, :, None] * Vt
    return F


def _mix_few_columns(Z: np.ndarray, log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`fisher_mixing` for at most K - 1 columns: F = R⁻ᵀ of `upper_root`, N = R⁻ᵀ Z⁺.

    Z⁺ knows nothing of the probabilities, so that small ones keep their digits in N.
    """
    b, q, d = Z.shape
    F, N = np.zeros(Z.shape), np.zeros((b, q, q))
    if not d:
        return F, N
    D = np.matmul(helmert(log_p.shape[1]).T, Z)
    R, sound = upper_root(likeliest_first(D, log_p), D)
    if sound.any():
        length = np.sqrt(np.einsum("bkd,bkd->bd", Z[sound], Z[sound]))
        Q, upper = np.linalg.qr(Z[sound] / length[:, None])
        inverse = np.linalg.solve(upper, Q.transpose(0, 2, 1)) / length[:, :, None]
        F[sound, :d] = np.linalg.inv(R[sound]).transpose(0, 2, 1)
        N[sound, :d] = F[sound, :d] @ inverse
    if not sound.all():
        F[~sound], N[~sound] = _mix_by_svd(Z[~sound], log_p[~sound])
    return F, N


def _mix_by_svd(Z: np.ndarray, log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A = diag(√p)(I - 1pᵀ) Uᵀ Z = L σ Vᵀ, F = σ⁺ Vᵀ, and N with F = σ⁺² Lᵀ A = N Z."""
    n_classes = log_p.shape[1]
    left, inverse, Vt = _metric_svd(np.matmul(helmert(n_classes).T, Z), log_p)
    p = np.exp(log_p)
    root = np.sqrt(p)[:, :, None] * (np.eye(n_classes) - p[:, None, :])
    small = (inverse**2)[:, :, None] * (left.transpose(0, 2, 1) @ root @ helmert(n_classes).T)
    F, N = np.zeros(Z.shape), np.zeros((len(Z), n_classes - 1, n_classes - 1))
    rank = min(small.shape[1], n_classes - 1)
    F[:, :rank] = inverse[:, :rank, None] * Vt[:, :rank]
    N[:, :rank] = small[:, :rank]
    return F, N


def _metric_svd(D: np.ndarray, log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A = diag(√P) D = L σ Vᵀ, with G = AᵀA: L, the inverse of σ on its range, and Vᵀ."""
    p = np.exp(log_p)
    D = D - np.einsum("bc,bcd->bd", p, D)[:, None, :]
    left, sigma, Vt = np.linalg.svd(np.sqrt(p)[:, :, None] * D, full_matrices=False)
    cut = sigma[:, :1] * (max(D.shape[1:]) * np.finfo(np.float64).eps)
    inverse = np.zeros_like(sigma)
    np.divide(1.0, sigma, out=inverse, where=sigma > cut)
    return left, inverse, Vt
