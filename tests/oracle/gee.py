"""GEE by definition in NumPy: every cluster's matrix R_i is built from its waves and inverted densely. Nothing of glimm.

e = (y - mu) sqrt(w / v(mu)),  X~ = diag(d sqrt(w / v(mu))) X,  H = sum X~_i' R_i^-1 X~_i,  U_i = X~_i' R_i^-1 e_i,  b <- b + H^-1 sum U_i

Three rules for phi and alpha, from S = sum of products of residuals of pairs of rows of a cluster, n their number:
standard   phi = sum e^2 / (N - p), every entry S / ((n - p) phi), or S / (n phi) where n <= p (SAS/STAT, PROC GENMOD)
geepack    residuals r = (y - mu) / sqrt(v) without the weight: phi = sum w r^2 / sum w, and weighted least squares of the products
           r_j r_k / phi on R_jk(alpha), weights w_j w_k (Yan and Fine 2004, Statistics in Medicine 23, 859-874)
           (a structure of one's own: least squares with the phi of either rule)
gee        entries of R go by position in the cluster: c_l = mean over clusters with two rows of sum_j e_j e_(j+l) / (n_i - l),
           divided by the mean over clusters of sum_j e_j^2 / n_i; reported phi and "exchangeable" as standard (R package gee)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

LINKS = {  # h and h'
    "identity": (lambda e: e, np.ones_like),
    "log": (np.exp, np.exp),
    "logit": (special.expit, lambda e: special.expit(e) * special.expit(-e)),
    "probit": (stats.norm.cdf, stats.norm.pdf),
    "cloglog": (lambda e: -np.expm1(-np.exp(e)), lambda e: np.exp(e - np.exp(e))),
    "inverse": (lambda e: 1.0 / e, lambda e: -1.0 / e**2),
    "sqrt": (lambda e: e**2, lambda e: 2.0 * e),
}
VARIANCES = {
    "gaussian": np.ones_like,
    "binomial": lambda mu: mu * (1.0 - mu),
    "poisson": lambda mu: mu,
    "gamma": lambda mu: mu**2,
}
CANONICAL = {"gaussian": "identity", "binomial": "logit", "poisson": "log", "gamma": "inverse"}


@dataclass(frozen=True)
class Own:
    """R = I + sum_q alpha_q Z_q: z gives (n, n, q) of the waves of a cluster; its entries are 0 or 1 and do not overlap."""

    z: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fixed:
    """R is the matrix at the cluster's waves; waves in the order of the matrix."""

    matrix: np.ndarray
    waves: np.ndarray


class Rows:
    """Rows in the order of cluster and wave, their clusters grouped by pattern of waves, and all pairs of rows of a cluster."""

    def __init__(
        self,
        y: Sequence[float],
        x: np.ndarray,
        cluster: Sequence[object],
        wave: Sequence[float] | None = None,
        sub: Sequence[object] | None = None,
        weights: Sequence[float] | None = None,
        offset: Sequence[float] | None = None,
    ) -> None:
        n = len(y)
        _, self.first, which = np.unique(np.asarray(cluster), return_index=True, return_inverse=True)
        at = np.arange(n) if wave is None else np.asarray(wave, dtype=float)
        order = np.lexsort((np.arange(n), at, which))
        self.order = order
        self.y = np.asarray(y, dtype=float)[order]
        self.x = np.asarray(x, dtype=float)[order]
        self.weights = (np.ones(n) if weights is None else np.asarray(weights, dtype=float))[order]
        self.offset = (np.zeros(n) if offset is None else np.asarray(offset, dtype=float))[order]
        self.cluster = which[order]
        self.sub = np.zeros(n, dtype=int) if sub is None else np.unique(np.asarray(sub), return_inverse=True)[1][order]
        self.sizes = np.bincount(self.cluster)
        self.members = np.split(np.arange(n), np.cumsum(self.sizes)[:-1])
        self.position = np.concatenate([np.arange(1, k + 1) for k in self.sizes])
        self.wave = self.position.astype(float) if wave is None else at[order]
        pairs = [(m[j], m[k]) for m in self.members for j in range(len(m)) for k in range(j + 1, len(m))]
        self.a, self.b = np.array(pairs, dtype=int).reshape(-1, 2).T
        self.patterns = self._patterns()

    def _patterns(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(waves, canonical sub-clusters, rows (clusters, n)) of each pattern."""
        found: dict[tuple, list[np.ndarray]] = {}
        for rows in self.members:
            _, sub = np.unique(self.sub[rows], return_inverse=True)
            found.setdefault((tuple(self.wave[rows]), tuple(sub)), []).append(rows)
        return [(np.array(wave), np.array(sub), np.array(rows)) for (wave, sub), rows in found.items()]


@dataclass
class Fit:
    """b, phi, alpha, robust and model-based covariance, R of waves and sub-clusters, its smallest eigenvalue, H_i and U_i by cluster."""

    b: np.ndarray
    phi: float
    alpha: np.ndarray
    robust: np.ndarray
    model: np.ndarray
    matrix: Callable[..., np.ndarray]
    smallest: float
    passes: int
    unreduced: list[str]
    h: np.ndarray
    u: np.ndarray

    @property
    def se(self) -> np.ndarray:
        """Robust standard errors."""
        return np.sqrt(np.diag(self.robust))


def fit(
    rows: Rows,
    family: str = "gaussian",
    link: str | None = None,
    corr: object = "independence",
    rule: str = "standard",
    start: np.ndarray | None = None,
    tol: float = 1e-12,
    most: int = 800,
    scale: float | None = None,
) -> Fit:
    """Iterate to `tol`; raises RuntimeError without convergence. scale : phi, where it is not estimated."""
    try:
        with np.errstate(all="ignore"):
            return _fit(rows, family, link or CANONICAL[family], corr, rule, start, tol, most, scale)
    except np.linalg.LinAlgError as failure:
        raise RuntimeError(f"no convergence: {failure}") from None


def _fit(rows, family, link, corr, rule, start, tol, most, scale) -> Fit:
    mean, slope = LINKS[link]
    variance = VARIANCES[family]
    b = begin(rows, family, link) if start is None else start.copy()
    alpha, matrix, first = np.zeros(0), lambda wave, sub: np.eye(len(wave)), True
    for passes in range(1, most):
        eta = rows.x @ b + rows.offset
        mu = mean(eta)
        root = np.sqrt(rows.weights / variance(mu))
        h_i, u, _ = pieces(rows, rows.x * (slope(eta) * root)[:, None], (rows.y - mu) * root, matrix)
        h = h_i.sum(axis=0)
        step = np.linalg.solve(h, u.sum(axis=0))
        b = b + step
        moved = np.max(np.abs(step) * np.sqrt(np.diag(h)))
        if passes < 10 and moved > 1e-3:
            continue
        before = alpha
        mu = mean(rows.x @ b + rows.offset)
        phi, alpha, matrix, unreduced = moments(rows, rows.y - mu, variance(mu), corr, rule, scale)
        change = 1.0 if first else np.max(np.abs(alpha - before), initial=0.0)
        first = False
        if moved < tol and change < tol:
            break
    else:
        raise RuntimeError(f"no convergence: {corr} {rule} moved {moved:.1e}, alpha {change:.1e}")
    eta = rows.x @ b + rows.offset
    mu = mean(eta)
    root = np.sqrt(rows.weights / variance(mu))
    h_i, u, smallest = pieces(rows, rows.x * (slope(eta) * root)[:, None], (rows.y - mu) * root, matrix)
    bread = np.linalg.inv(h_i.sum(axis=0))
    return Fit(b, phi, alpha, bread @ u.T @ u @ bread, phi * bread, matrix, smallest, passes, unreduced, h_i, u)


def begin(rows: Rows, family: str, link: str) -> np.ndarray:
    """One least squares fit of the link of the responses, moved into the range of the mean."""
    y = rows.y
    mu = {"binomial": (y + 0.5) / 2.0, "poisson": y + 0.3, "gaussian": y, "gamma": y}[family]
    eta = {
        "identity": lambda: mu,
        "log": lambda: np.log(mu),
        "logit": lambda: special.logit(mu),
        "probit": lambda: stats.norm.ppf(mu),
        "cloglog": lambda: np.log(-np.log1p(-mu)),
        "inverse": lambda: 1.0 / mu,
        "sqrt": lambda: np.sqrt(mu),
    }[link]()
    return np.linalg.lstsq(rows.x, eta - rows.offset, rcond=None)[0]


def pieces(rows: Rows, x: np.ndarray, e: np.ndarray, matrix: Callable[..., np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """(H_i (K, p, p), U_i (K, p), smallest eigenvalue of any R_i), clusters by pattern of waves."""
    h, u, smallest = [], [], np.inf
    for wave, sub, members in rows.patterns:
        r = matrix(wave, sub)
        smallest = min(smallest, float(np.linalg.eigvalsh(r)[0]))
        inverse = np.linalg.inv(r)
        weighted = np.einsum("ab,kbp->kap", inverse, x[members])
        h.append(np.einsum("kap,kaq->kpq", x[members], weighted))
        u.append(np.einsum("kap,ka->kp", weighted, e[members]))
    return np.concatenate(h), np.concatenate(u), smallest


def moments(
    rows: Rows, raw: np.ndarray, v: np.ndarray, corr: object, rule: str, scale: float | None = None
) -> tuple[float, np.ndarray, Callable, list[str]]:
    """(phi, alpha, R of waves and sub-clusters, entries with a divisor that is not reduced by p) from y - mu and v(mu)."""
    n, p = rows.x.shape
    w = rows.weights
    squares = float(np.sum(w * raw**2 / v))
    if rule == "geepack":
        e, pair_weights, phi = raw / np.sqrt(v), w[rows.a] * w[rows.b], squares / w.sum()
    else:
        e, pair_weights, phi = raw * np.sqrt(w / v), np.ones(len(rows.a)), squares / (n - p if n > p else n)
    phi = phi if scale is None else scale
    products = e[rows.a] * e[rows.b]
    unreduced: list[str] = []

    def entry(chosen: np.ndarray, name: str) -> float:
        count = float(pair_weights[chosen].sum())
        if count == 0.0:
            unreduced.append(name)
            return 0.0
        if rule != "geepack" and count > p:
            return float(products[chosen].sum() / ((count - p) * phi))
        if rule != "geepack":
            unreduced.append(name)
        return float((pair_weights * products)[chosen].sum() / (count * phi))

    name, m = parsed(corr)
    if name == "independence":
        return phi, np.zeros(0), lambda wave, sub: np.eye(len(wave)), unreduced
    if name == "fixed":
        at = {w: i for i, w in enumerate(corr.waves)}
        return phi, np.zeros(0), lambda wave, sub: corr.matrix[np.ix_([at[w] for w in wave], [at[w] for w in wave])], unreduced
    if name == "exchangeable":
        a = entry(np.ones(len(rows.a), dtype=bool), "alpha")
        return phi, np.array([a]), lambda wave, sub: np.full((len(wave),) * 2, a) + (1.0 - a) * np.eye(len(wave)), unreduced
    if name == "nested":
        same = rows.sub[rows.a] == rows.sub[rows.b]
        inside, across = entry(same, "within"), entry(~same, "across")

        def nested(wave, sub):
            r = np.where(np.equal.outer(sub, sub), inside, across)
            np.fill_diagonal(r, 1.0)
            return r

        return phi, np.array([inside, across]), nested, unreduced
    if name == "own":
        zs = {id(members): corr.z(rows.wave[members]) for members in rows.members}
        z = np.array([zs[id(mm)][j, k] for mm in rows.members for j in range(len(mm)) for k in range(j + 1, len(mm))])
        alpha = np.array([np.sum((pair_weights * products)[c]) / (pair_weights[c].sum() * phi) for c in (z != 0).T])
        return phi, alpha, lambda wave, sub: np.eye(len(wave)) + corr.z(wave) @ alpha, unreduced
    if rule == "gee":
        return (phi, *by_position(rows, e, name, m), unreduced)
    lag = rows.wave[rows.b] - rows.wave[rows.a]
    if name == "ar1":
        a = power(rows, lag, products / phi, pair_weights, entry, rule)
        return phi, np.array([a]), lambda wave, sub: a ** np.abs(np.subtract.outer(wave, wave)), unreduced
    if name in ("stationary", "ar"):
        alpha = np.array([entry(lag == t, f"lag {t}") for t in range(1, m + 1)])
        return phi, alpha, by_lag(alpha, name, int(lag.max(initial=1))), unreduced
    waves = np.unique(rows.wave)
    at = {w: i for i, w in enumerate(waves)}
    full, alpha = np.eye(len(waves)), []
    for j in range(len(waves)):
        for k in range(j + 1, len(waves)):
            if k - j <= m:
                both = (rows.wave[rows.a] == waves[j]) & (rows.wave[rows.b] == waves[k])
                full[j, k] = full[k, j] = entry(both, f"{waves[j]:g},{waves[k]:g}")
                alpha.append(full[j, k])
    return phi, np.array(alpha), lambda wave, sub: full[np.ix_([at[w] for w in wave], [at[w] for w in wave])], unreduced


def parsed(corr: object) -> tuple[str, int]:
    """("stationary", 2) of "stationary(2)"; unstructured is non-stationary without a limit."""
    if isinstance(corr, Fixed):
        return "fixed", 0
    if isinstance(corr, Own):
        return "own", 0
    assert isinstance(corr, str)
    if corr == "unstructured":
        return "nonstationary", 10**9
    name, _, m = corr.partition("(")
    return name, int(m.rstrip(")")) if m else 0


def power(rows: Rows, lag: np.ndarray, products: np.ndarray, weights: np.ndarray, entry: Callable, rule: str) -> float:
    """alpha of R_jk = alpha^lag.

    geepack: sum over all pairs of w lag a^(lag - 1) (product - a^lag) = 0. standard: from pairs one unit apart where times are
    whole numbers, else the same equation over neighbouring rows.
    """
    whole = bool(np.all(rows.wave == np.round(rows.wave)))
    if rule != "geepack" and whole and np.any(lag == 1.0):
        return entry(lag == 1.0, "lag 1")
    chosen = np.ones(len(lag), dtype=bool) if rule == "geepack" else rows.b == rows.a + 1
    d, at = np.unique(lag[chosen], return_inverse=True)
    w = np.bincount(at, weights[chosen])
    s = np.bincount(at, (weights * products)[chosen]) / w

    def slope(a: float) -> float:
        return float(np.sum(w * d * a ** (d - 1.0) * (s - a**d)))

    def loss(a: float) -> float:
        return float(np.sum(w * (s - a**d) ** 2))

    grid = np.linspace(1e-6 if not whole else -1.0 + 1e-6, 1.0 - 1e-6, 400)
    best = int(np.argmin([loss(a) for a in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(optimize.brentq(slope, low, high, xtol=1e-15, rtol=1e-15))


def by_lag(alpha: np.ndarray, name: str, longest: int) -> Callable[..., np.ndarray]:
    """R of lags: alpha at 1 to m, then 0 (m-dependent) or the Yule-Walker continuation (autoregressive)."""
    m = len(alpha)
    r = np.concatenate([[1.0], alpha, np.zeros(max(longest - m, 0))])
    if name == "ar":
        toeplitz = np.array([[r[abs(i - j)] for j in range(m)] for i in range(m)])
        f = np.linalg.solve(toeplitz, alpha)
        for t in range(m + 1, len(r)):
            r[t] = sum(f[s] * r[t - 1 - s] for s in range(m))

    def matrix(wave, sub):
        return r[np.abs(np.subtract.outer(wave, wave)).astype(int)]

    return matrix


def by_position(rows: Rows, e: np.ndarray, name: str, m: int) -> tuple[np.ndarray, Callable]:
    """The entries of R gee; every cluster needs more than m rows where R goes by lags."""
    pairs = [mm for mm in rows.members if len(mm) > 1]
    base = np.mean([np.mean(e[mm] ** 2) for mm in rows.members])
    largest = int(rows.sizes.max())
    if name in ("ar1", "ar", "stationary"):
        m = 1 if name == "ar1" else m
        if rows.sizes.min() <= m:
            raise ValueError(f"a cluster has no more than {m} rows")
        alpha = np.array([np.mean([np.mean(e[mm][t:] * e[mm][:-t]) for mm in pairs]) / base for t in range(1, m + 1)])
        lags = by_lag(alpha, "stationary" if name == "stationary" else "ar", largest)
        return alpha, lambda wave, sub: lags(np.arange(len(wave)), sub)
    full = np.eye(largest)
    alpha = []
    for j in range(largest):
        for k in range(j + 1, min(largest, j + m + 1)):
            total = sum(e[mm[j]] * e[mm[k]] for mm in pairs if len(mm) > k)
            full[j, k] = full[k, j] = total / len(pairs) / base
            alpha.append(full[j, k])
    return np.array(alpha), lambda wave, sub: full[: len(wave), : len(wave)]
